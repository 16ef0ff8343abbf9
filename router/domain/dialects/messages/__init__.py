"""Know Anthropic's Messages, and put it into Chat Completions and back."""
