"""Clients of which one thing each is looked at: instructor, litellm, openai-agents, outlines, pydantic-ai."""

import json

from setting import CHAT_TOOL, CITIES, MODEL, USER, base, check, key


def openai_client():
    from openai import OpenAI

    return OpenAI(base_url=base, api_key=key, max_retries=0)


def pet():
    from typing import Literal

    from pydantic import BaseModel

    class Pet(BaseModel):
        kind: Literal["cat", "dog"]

    return Pet


@check("instructor", "instructor")
def each_mode():
    import instructor

    Pet = pet()
    for mode in (instructor.Mode.TOOLS, instructor.Mode.JSON, instructor.Mode.JSON_SCHEMA):
        patched = instructor.from_openai(openai_client(), mode=mode)
        asked = dict(model=MODEL, messages=[USER], response_model=Pet, max_retries=0)
        # JSON mode only asks for JSON, so that the answer's keys are the model's choice: the schema goes along.
        if mode is instructor.Mode.JSON:
            asked["extra_body"] = {"structured_outputs": {"json": Pet.model_json_schema()}, "response_format": None}
        assert patched.chat.completions.create(**asked).kind in ("cat", "dog"), mode


@check("litellm", "litellm")
def chat_and_a_tool():
    import litellm

    asked = dict(model=f"hosted_vllm/{MODEL}", messages=[USER], api_base=base, api_key=key, max_tokens=300)
    assert litellm.completion(**asked).choices[0].message.content
    assert [chunk for chunk in litellm.completion(**asked, stream=True)]
    call = litellm.completion(**asked, tools=[CHAT_TOOL], tool_choice="required").choices[0].message.tool_calls[0]
    assert json.loads(call.function.arguments)["city"] in CITIES
    assert litellm.embedding(model="hosted_vllm/demo", input=["a"], api_base=base, api_key=key).data


@check("openai-agents", "agents")
def an_agent_with_a_tool():
    from agents import Agent, ModelSettings, OpenAIChatCompletionsModel, OpenAIResponsesModel, Runner, function_tool, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)

    @function_tool
    def weather(city: str) -> str:
        return "rain"

    for kind in (OpenAIResponsesModel, OpenAIChatCompletionsModel):
        model = kind(model=MODEL, openai_client=AsyncOpenAI(base_url=base, api_key=key))
        assert Runner.run_sync(Agent(name="a", instructions="Be brief.", model=model), "Hello").final_output
        settings = ModelSettings(tool_choice="required", parallel_tool_calls=False)
        agent = Agent(name="b", model=model, tools=[weather], model_settings=settings, tool_use_behavior="stop_on_first_tool")
        assert Runner.run_sync(agent, "Oslo?").final_output == "rain"


@check("outlines", "outlines")
def a_choice_and_a_schema():
    from typing import Literal

    import outlines

    model = outlines.from_vllm(openai_client(), MODEL)
    assert model("A pet?", Literal["cat", "dog"]) in ("cat", "dog")
    assert pet().model_validate_json(model("A pet?", pet())).kind


@check("pydantic-ai", "pydantic_ai")
def an_agent_with_a_typed_answer():
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel(MODEL, provider=OpenAIProvider(base_url=base, api_key=key))
    assert Agent(model).run_sync("Hello").output
    assert Agent(model, output_type=pet()).run_sync("A pet.").output.kind in ("cat", "dog")
