"""Where the server is, what is asked of it, and the list that each file of checks adds its own to."""

import sys

url, key = sys.argv[1:3]
base = f"{url}/v1"
MODEL = "pirate"
USER = {"role": "user", "content": "Tell me of the sea."}
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
FUNCTION = {"name": "weather", "description": "The weather of a city.", "parameters": PARAMETERS, "strict": True}
CHAT_TOOL = {"type": "function", "function": FUNCTION}
CITIES = ("Oslo", "Rome")

# (distribution, module that it brings, check)
CHECKS = []


def check(distribution, module):
    def add(function):
        CHECKS.append((distribution, module, function))
        return function

    return add
