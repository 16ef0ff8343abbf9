"""What a SQL ledger is made of, one dialect a file name: its migrations, its fixed statements, its columns."""
