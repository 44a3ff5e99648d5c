"""Models and tokenizers from and to folders in the format of Hugging Face, and GGUF files."""
