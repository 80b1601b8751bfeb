"""A run as one page: numbers from what was recorded (figures), pictures of them (charts), and the page (page)."""
