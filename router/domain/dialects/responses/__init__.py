"""Know OpenAI's Responses, and put it into Chat Completions and back."""
