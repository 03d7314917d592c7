"""The HTTP service: OpenAI's chat completions and mem0's memories, and a view of what was learned.

It parses, asks the same functions as the command line, and answers. fastapi is imported here alone.
"""
