"""Systems that try to fool an audit, and what the audit says of them."""
