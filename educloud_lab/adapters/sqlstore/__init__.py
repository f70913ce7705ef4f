"""The store on SQLAlchemy: SQLite on a laptop, PostgreSQL for a class."""
