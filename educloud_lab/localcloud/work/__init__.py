"""What happens behind the operations: rows say what is wanted, this room makes it so."""
