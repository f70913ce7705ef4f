"""What a notebook imports. No rules, no credentials."""
