"""`lm-eval` (EleutherAI's): tasks on a data set of three rows beside this file, scored by logprobs and by generated text, with token ids, text and the server's tokenizer."""

import os
from pathlib import Path

from setting import MODEL, base, check, key, url

lm_eval = check("lm-eval", "lm_eval")
HERE = Path(__file__).parent
os.environ.update(OPENAI_API_KEY=key, HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

DATA = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": str(HERE / "tasks" / "sea.jsonl")}}, "test_split": "test"}
CHOICE = {
    **DATA,
    "task": "sea_choice",
    "output_type": "multiple_choice",
    "doc_to_text": "question",
    "doc_to_choice": "choices",
    "doc_to_target": "answer",
    "metric_list": [{"metric": "acc"}],
}
TEXT = {
    **DATA,
    "task": "sea_text",
    "output_type": "generate_until",
    "doc_to_text": "question",
    "doc_to_target": "{{choices[answer]}}",
    "generation_kwargs": {"until": ["."], "max_gen_toks": 8},
    "metric_list": [{"metric": "exact_match"}],
}


def scores_of(model, arguments, tasks, **more):
    import lm_eval

    shared = {"model": MODEL, "num_concurrent": 2, "max_retries": 1, "max_length": 256, **arguments}
    scored = lm_eval.simple_evaluate(model=model, model_args=shared, tasks=tasks, bootstrap_iters=0, log_samples=True, **more)
    assert set(scored["results"]) == {task["task"] for task in tasks}
    for samples in scored["samples"].values():
        assert len(samples) == 3 and all(sample["resps"] for sample in samples)
    return scored


def loglikelihoods(scored):
    return [float(response[0]) for sample in scored["samples"]["sea_choice"] for response in sample["filtered_resps"]]


@lm_eval
def local_completions_by_the_servers_tokenizer():
    arguments = {"base_url": f"{base}/completions", "tokenizer_backend": "remote", "auth_token": key}
    scored = scores_of("local-completions", arguments, [CHOICE, TEXT])
    assert scored["results"]["sea_choice"]["acc,none"] >= 2 / 3, scored["results"]
    # By itself it finds out that the server has a tokenizer.
    del arguments["tokenizer_backend"]
    assert loglikelihoods(scores_of("local-completions", arguments, [CHOICE])) == loglikelihoods(scored)


@check("lm-eval with transformers", "transformers")
def local_completions_by_a_tokenizer_of_its_own():
    # A folder with the served model's.
    tokenizer = os.environ["LORIKEET_TOKENIZER"]
    arguments = {"base_url": f"{base}/completions"}
    own = {**arguments, "tokenizer_backend": "huggingface", "tokenizer": tokenizer}
    remote = {**arguments, "tokenizer_backend": "remote", "auth_token": key}
    got, want = (loglikelihoods(scores_of("local-completions", one, [CHOICE])) for one in (own, remote))
    assert all(abs(a - b) < 1e-3 for a, b in zip(got, want, strict=True)), (got, want)


@lm_eval
def local_chat_completions():
    scores_of("local-chat-completions", {"base_url": f"{base}/chat/completions"}, [TEXT], apply_chat_template=True)
