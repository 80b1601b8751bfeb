a model
