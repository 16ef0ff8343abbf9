"""Know OpenAI's Chat Completions, the dialect between any two others."""
