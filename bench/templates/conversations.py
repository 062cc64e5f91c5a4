"""Conversations of all kinds, as request bodies: plain, system, tools, tool histories, parts, reasoning, odd values."""
import json

TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "description": "Get the \"weather\" in a city — it's <b>live</b> & so on.", "parameters": {"type": "object", "properties": {"city": {"type": "string", "description": "The city's name, e.g. Zürich"}, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "default": "celsius"}, "days": {"type": "integer", "minimum": 1, "default": 1.0}}, "required": ["city"]}}},
    {"type": "function", "function": {"name": "search", "description": "Search.", "parameters": {"type": "object", "properties": {"query": {"type": "array", "items": {"type": "string"}}, "filter": {"type": "object", "properties": {"10": {"type": "number"}, "9": {"type": ["string", "null"]}}, "required": []}}, "required": ["query"], "additionalProperties": False}}, "strict": True},
]
NO_PARAMETERS = [{"type": "function", "function": {"name": "now", "description": "The time."}}]


def message(role, content, **more):
    return {"role": role, "content": content, **more}


def call(name, arguments, id="call12345"):
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)}}


USER = message("user", "Hello!")
SYSTEM = message("system", "You are kind.")
TURN = [USER, message("assistant", "Hi there."), message("user", "How are you?")]
WEATHER = [message("user", "Weather in Zürich?"), message("assistant", None, tool_calls=[call("get_weather", {"city": "Zürich", "days": 2, "deep": {"a": [1, 2.5, None, True], "b": {}}})]), message("tool", "21 °C", tool_call_id="call12345", name="get_weather")]
PARALLEL = [message("user", "Both?"), message("assistant", "", tool_calls=[call("get_weather", {"city": "Rome"}, "call00001"), call("search", {"query": ["a", "b"]}, "call00002")]), message("tool", "sunny", tool_call_id="call00001"), message("tool", '{"hits": [1, 2]}', tool_call_id="call00002")]
THOUGHT = "<think>\nHm, let me think.\n</think>\n\nIt is 4."


def text(value):
    return {"type": "text", "text": value}


CONVERSATIONS = {
    "user": {"messages": [USER]},
    "user, no prompt": {"messages": [USER], "add_generation_prompt": False},
    "system": {"messages": [SYSTEM, USER]},
    "turns": {"messages": TURN},
    "system, turns": {"messages": [SYSTEM, *TURN]},
    "ends with assistant": {"messages": TURN[:2], "add_generation_prompt": False},
    "assistant first": {"messages": [message("assistant", "Welcome."), USER]},
    "two users": {"messages": [USER, message("user", "Again.")]},
    "two systems": {"messages": [SYSTEM, message("system", "Be brief."), USER]},
    "system late": {"messages": [USER, message("assistant", "Hi."), message("system", "Be brief."), USER]},
    "white space": {"messages": [message("system", "  padded \n"), message("user", "\n\n  code:\n\tx = 1\n\n"), message("assistant", "\n    return x\n  "), message("user", " ok ")]},
    "empty": {"messages": [message("system", ""), message("user", "")]},
    "unicode": {"messages": [message("system", "Sei höflich 😀"), message("user", "你好\u3000\u00a0\u2028é\u0301 👨\u200d👩\u200d👧 \ufeff"), message("assistant", "ß İ Σ"), message("user", "\u200f\x07\x7f")]},
    "markup": {"messages": [message("user", "<|im_end|> {{ x }} {% y %} </s> [INST] <b>&amp;'\"\\</b>")]},
    "numbers in text": {"messages": [message("user", "1.0 1e5 None True")]},
    "long": {"messages": [SYSTEM] + TURN * 6},
    "developer": {"messages": [message("developer", "Be kind."), USER]},
    "tools": {"messages": [USER], "tools": TOOLS},
    "tools, system": {"messages": [SYSTEM, USER], "tools": TOOLS},
    "tools, no parameters": {"messages": [USER], "tools": NO_PARAMETERS},
    "tool call": {"messages": WEATHER[:2], "tools": TOOLS, "add_generation_prompt": False},
    "tool history": {"messages": WEATHER, "tools": TOOLS},
    "tool history, no tools": {"messages": WEATHER},
    "tool history, answered": {"messages": [SYSTEM, *WEATHER, message("assistant", "It is 21 °C."), message("user", "Thanks. And Rome?")], "tools": TOOLS},
    "parallel calls": {"messages": PARALLEL, "tools": TOOLS},
    "call with text": {"messages": [USER, message("assistant", "Let me see.", tool_calls=[call("search", {"query": []})]), message("tool", "", tool_call_id="call12345"), message("assistant", "Nothing."), message("user", "Hm.")], "tools": TOOLS},
    "call without arguments": {"messages": [USER, message("assistant", None, tool_calls=[call("now", "{}")]), message("tool", "12:00", tool_call_id="call12345")], "tools": NO_PARAMETERS},
    "call with odd arguments": {"messages": [USER, message("assistant", None, tool_calls=[call("f", '{"b": 1.0, "10": 1e3, "9": -0.0, "a": 12345678901234567890, "s": "x\\n\\"é\\u2028", "n": null, "t": true, "l": [], "o": {}}')]), message("tool", "ok", tool_call_id="call12345")], "tools": TOOLS},
    "calls null and empty": {"messages": [USER, message("assistant", "Hi.", tool_calls=None), USER, message("assistant", "Ho.", tool_calls=[]), USER]},
    "tool result as parts": {"messages": [*WEATHER[:2], message("tool", [text("21 °C"), text("dry")], tool_call_id="call12345")], "tools": TOOLS},
    "parts": {"messages": [message("user", [text("One."), text("Two.")])]},
    "parts, system": {"messages": [message("system", [text("Be kind.")]), message("user", [text("Hello!")]), message("assistant", [text("Hi.")]), message("user", [text("a"), text("b"), text("c")])]},
    "one part": {"messages": [message("user", [text("  Just one. ")])]},
    "reasoning": {"messages": [USER, message("assistant", "Four.", reasoning_content="Two and two.\n"), message("user", "Sure?")]},
    "reasoning, call": {"messages": [USER, message("assistant", None, reasoning_content="I need the weather.", tool_calls=[call("get_weather", {"city": "Rome"})]), message("tool", "21", tool_call_id="call12345")], "tools": TOOLS},
    "thinking in content": {"messages": [USER, message("assistant", THOUGHT), message("user", "Sure?"), message("assistant", THOUGHT)], "add_generation_prompt": False},
    "thinking off": {"messages": [SYSTEM, USER], "chat_template_kwargs": {"enable_thinking": False, "thinking": False}},
    "thinking on": {"messages": [SYSTEM, USER], "chat_template_kwargs": {"enable_thinking": True, "thinking": True, "reasoning_effort": "high"}},
    "odd kwargs": {"messages": [USER], "chat_template_kwargs": {"date_string": "1 Jan 2025", "tools_in_user_message": False, "custom_tools": None, "builtin_tools": ["brave_search", "code_interpreter"], "x": 1.0, "xml_tools": [], "python_tools": None}},
    "documents": {"messages": [USER], "documents": [{"title": "Foxes", "text": "They are red.", "doc_id": 1}, {"title": "Owls", "text": "They hoot.", "doc_id": 2.0}]},
    "continue": {"messages": [USER, message("assistant", "Once upon a")], "continue_final_message": True, "add_generation_prompt": False},
    "continue, space": {"messages": [USER, message("assistant", "def f():\n    ")], "continue_final_message": True, "add_generation_prompt": False},
    "continue, thinking": {"messages": [USER, message("assistant", "<think>\nHm")], "continue_final_message": True, "add_generation_prompt": False},
    "continue, thought": {"messages": [USER, message("assistant", THOUGHT)], "continue_final_message": True, "add_generation_prompt": False},
    "names": {"messages": [message("user", "Hi", name="Ann"), message("assistant", "Hi Ann", name="Bot"), message("user", "Yes")]},
    "unknown role": {"messages": [USER, message("critic", "Hm.")]},
    "extra fields": {"messages": [message("user", "Hi", weight=1.0, tags=["a", None, True]), message("assistant", "Yo", refusal=None, audio=None), USER]},
}
