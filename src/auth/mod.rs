//! Auth records: passwords, tokens, and who a request comes from.
