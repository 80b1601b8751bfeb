"""What a profile may tell of an account at Bohrium: read here, checked and documented by the schema."""

from __future__ import annotations

from ...core.keys import Profile, at_least, optional, required, secret

BOHRIUM_KEYS = (
    optional("email", str, "E-mail of the account; else BOHRIUM_EMAIL. Not needed with BOHR_TICKET."),
    secret("password", str, "Password of the account; else BOHRIUM_PASSWORD."),
    optional("phone", str, "Phone number of the account, instead of the e-mail."),
    required("program_id", int, "Id of the project that pays.", alias=("project_id",)),
    optional("keep_backup", bool, "Keep the archives that were fetched.", True),
    required("input_data", dict, "Settings of the cloud job, passed on as they are."),
    optional(
        "retry_count",
        (int, None),
        "Taken for compatibility, and not used; see machine/retry_count.",
        2,
        rule=at_least(0),
    ),
    optional("ignore_exit_code", bool, "Take a task that ended with another code than 0 as finished.", True),
    optional("base_url", str, "Address of the service; else DPDISPATCHER_LEBESGUE_API_HOST."),
    optional("storage_url", str, "Address of its bucket; else DPDISPATCHER_LEBESGUE_ALI_OSS_BUCKET_URL."),
    optional("allow_http", bool, "Speak plain http to other machines, open to all on the way.", False),
)

#: Any further key is a setting of the cloud job.
OPENAPI_KEYS = (
    secret("access_key", str, "Access key; else BOHRIUM_ACCESS_KEY or ACCESS_KEY."),
    optional("project_id", int, "Id of the project that pays; else BOHRIUM_PROJECT_ID or PROJECT_ID."),
    secret("app_key", str, "Key of the application that asks; else BOHRIUM_APP_KEY or APP_KEY."),
    optional("keep_backup", bool, "Keep the archives that were fetched, unless false."),
    optional("ignore_exit_code", bool, "Take a task that ended with another code than 0 as finished, unless false."),
    optional("output_log", bool, "Keep what each job prints in a file on this side."),
    optional("base_url", str, "Address of the service; else BOHRIUM_BASE_URL."),
    optional("storage_url", str, "Address of its storage; else what the record names, or TIEFBLUE_BASE_URL."),
    optional("allow_http", bool, "Speak plain http to other machines, open to all on the way."),
)

BOHRIUM = Profile("Runs jobs on the Bohrium cloud.", BOHRIUM_KEYS, needed=True)
OPENAPI = Profile("Runs jobs on Bohrium through its open API.", OPENAPI_KEYS, free=True)
