"""What a person can choose: every setting, declared once."""
