"""Where records and feedback are kept: one schema, in SQLite on one machine and in PostgreSQL in a cluster."""
