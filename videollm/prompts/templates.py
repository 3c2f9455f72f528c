"""Chat templates that models were trained with and their tokenizers do not bring, as fields of ChatPrompt.

Named as descendants of LLaVA name them (`conversation.py` of github.com/NVlabs/VILA and github.com/dvlab-research/MGM).
"""

from __future__ import annotations

from typing import Any, Final


def template(answer: str, **turns: str) -> str:
    """Write a Jinja template.

    Args:
        answer: what an answer begins with.
        turns: role -> its turn, `{}` for the message; other roles are refused, as templates without a system role do.
    """
    return (
        f"{{%- set turns = {turns!r} -%}}"
        "{%- for message in messages -%}"
        "{%- if message['role'] not in turns -%}{{- raise_exception('no such role') -}}{%- endif -%}"
        "{{- turns[message['role']] | replace('{}', message['content']) -}}"
        "{%- endfor -%}"
        f"{{%- if add_generation_prompt -%}}{{{{- {answer!r} -}}}}{{%- endif -%}}"
    )


def llama_3(answer: str) -> dict[str, Any]:
    """Return the prompt of Llama 3 as VILA and Mini-Gemini write it; `answer` is the role of an answer."""
    head = "<|start_header_id|>{}<|end_header_id|>\n\n".format
    return {
        "template": template(
            head(answer),
            system=f"<|begin_of_text|>{head('system')}{{}}<|eot_id|>",
            user=f"{head('user')}{{}}<|eot_id|>",
            assistant=f"{head(answer)}{{}}<|eot_id|>",
        ),
        "system": "You are a helpful language and vision assistant. You are able to understand the visual content that "
        "the user provides, and assist the user with a variety of tasks using natural language.",
    }


VICUNA_V1: Final[dict[str, Any]] = {
    "template": template("ASSISTANT:", system="{} ", user="USER: {} ", assistant="ASSISTANT: {}</s>"),
    "system": "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions.",
    "begin": True,
}
CHATML_DIRECT: Final[dict[str, Any]] = {
    "template": template(
        "<|im_start|>assistant\n",
        system="<|im_start|>system\n{}<|im_end|>",
        user="<|im_start|>user\n{}<|im_end|>",
        assistant="<|im_start|>assistant\n{}<|im_end|>",
    ),
    "system": "Answer the questions.",
    "begin": True,
}
CHATML: Final[dict[str, Any]] = {
    "template": template(
        "<|im_start|>assistant\n",
        system="<|im_start|>system\n{}<|im_end|>\n",
        user="<|im_start|>user\n{}<|im_end|>\n",
        assistant="<|im_start|>assistant\n{}<|im_end|>\n",
    ),
}
GEMMA: Final[dict[str, Any]] = {
    "template": template(
        "<start_of_turn>model\n",
        user="<start_of_turn>user\n{}<end_of_turn>\n",
        assistant="<start_of_turn>model\n{}<end_of_turn>\n<eos>",
    ),
    "begin": True,
}
MISTRAL_INSTRUCT: Final[dict[str, Any]] = {
    "template": template("", user="[INST] {} [/INST]", assistant=" {} </s>"),
    "begin": True,
}
