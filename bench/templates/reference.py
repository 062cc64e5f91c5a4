#!/usr/bin/env python3
"""What transformers (apply_chat_template's render_jinja_template) makes of the templates of a folder and of conversations.py:
    python3 bench/templates/reference.py FOLDER     writes FOLDER/reference.json, which dist/bench/templates.js reads
Messages are prepared as vLLM does before the template sees them: arguments parsed, no calls dropped, null content as "", reasoning under both names, `developer` as `system` where
the template does not name it. Content parts are tried as a list and joined by newlines, texts also as a list of one part (what vLLM gives to templates that walk through parts)."""
import copy
import datetime
import json
import sys
from pathlib import Path

from transformers.utils import chat_template_utils

from conversations import CONVERSATIONS

TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}


class Noon(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(2024, 2, 9, 15, 4, 5, 678000)


chat_template_utils.datetime = Noon


def prepared(messages, source, form):
    messages = copy.deepcopy(messages)
    for one in messages:
        if one["role"] == "developer" and "developer" not in source:
            one["role"] = "system"
        if one["content"] is None:
            one["content"] = ""
        for field in ("tool_calls", "refusal", "audio"):
            if field in one and not one[field]:
                del one[field]
        for called in one.get("tool_calls", []):
            called["function"]["arguments"] = json.loads(called["function"]["arguments"])
        if "reasoning_content" in one:
            one["reasoning"] = one["reasoning_content"]
        if form == "joined" and isinstance(one["content"], list):
            one["content"] = "\n".join(part["text"] for part in one["content"])
        if form == "lists" and isinstance(one["content"], str) and one["content"]:
            one["content"] = [{"type": "text", "text": one["content"]}]
    return messages


def rendered(source, body, form):
    try:
        texts, _ = chat_template_utils.render_jinja_template(
            conversations=[prepared(body["messages"], source, form)],
            tools=copy.deepcopy(body.get("tools")),
            documents=copy.deepcopy(body.get("documents")),
            chat_template=source,
            continue_final_message=body.get("continue_final_message", False),
            add_generation_prompt=body.get("add_generation_prompt", True),
            **{**TOKENS, **body.get("chat_template_kwargs", {})},
        )
        return {"text": texts[0]}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"[:300]}


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    results = {}
    for file in sorted(folder.glob("*.jinja")):
        source = file.read_bytes().decode()
        results[file.name] = {name: {form: rendered(source, body, form) for form in ("given", "joined", "lists")} for name, body in CONVERSATIONS.items()}
    bodies = {name: json.dumps(body, ensure_ascii=False) for name, body in CONVERSATIONS.items()}
    (folder / "reference.json").write_text(json.dumps({"tokens": TOKENS, "bodies": bodies, "results": results}))
    print(len(results), "templates,", len(CONVERSATIONS), "conversations")
