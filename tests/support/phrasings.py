"""How providers say what went wrong: bodies as people recorded them, each with its source. None is made up.

Sources are public issue threads, `owner/repository#number`, and documentation pages. Where a source gives the words
alone, the body around them is the one that the provider uses elsewhere in this file; where it gives a code alone, the
message says so.
"""

import json
from typing import Final, NamedTuple


class Said(NamedTuple):
    who: str
    source: str
    status: int
    body: str
    headers: tuple[tuple[bytes, bytes], ...] = ()


def openai(
    message: str, kind: str | None = "invalid_request_error", param: str | None = None, code: str | None = None
) -> str:
    return json.dumps({"error": {"message": message, "type": kind, "param": param, "code": code}})


def anthropic(kind: str, message: str, **more: object) -> str:
    return json.dumps({"type": "error", "error": {"type": kind, "message": message, **more}, "request_id": "req_0"})


def google(code: int, status: str, message: str, **more: object) -> str:
    return json.dumps({"error": {"code": code, "message": message, "status": status, **more}})


def vllm(message: str) -> str:
    return json.dumps({"object": "error", "message": message, "type": "BadRequestError", "param": None, "code": 400})


def openrouter(code: int, message: str, **metadata: object) -> str:
    return json.dumps({"error": {"message": message, "code": code, "metadata": metadata}})


def amazon(kind: str) -> tuple[tuple[bytes, bytes], ...]:
    return ((b"x-amzn-errortype", f"{kind}:http://internal.amazon.com/coral/com.amazon.bedrock/".encode()),)


TOO_LONG: Final = [
    Said(
        "OpenAI",
        "crewAIInc/crewAI-examples#121",
        400,
        openai(
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens. "
            "Please reduce the length of the messages.",
            param="messages",
            code="context_length_exceeded",
        ),
    ),
    Said(
        "OpenAI, completions",
        "OpenRouterTeam/openrouter-examples#10",
        400,
        openai(
            "This model's maximum context length is 8192 tokens, however you requested 8977 tokens (8977 in your "
            "prompt; 0 for the completion). Please reduce your prompt; or completion length."
        ),
    ),
    Said(
        "OpenAI, newer models",
        "VectorlyApp/bluebox#66",
        400,
        openai(
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            param="input",
            code="context_length_exceeded",
        ),
    ),
    Said(
        "Azure OpenAI",
        "FoundationAgents/OpenManus#62",
        400,
        openai(
            "This model's maximum context length is 8192 tokens. However, you requested 8213 tokens (6683 in the "
            "messages, 730 in the functions, and 800 in the completion). Please reduce the length of the messages, "
            "functions, or completion.",
            param="messages",
            code="context_length_exceeded",
        ),
    ),
    Said(
        "Anthropic",
        "boldsoftware/exe.dev#62",
        400,
        anthropic("invalid_request_error", "prompt is too long: 200251 tokens > 200000 maximum"),
    ),
    Said(
        "Anthropic, with the answer",
        "continuedev/continue#6080",
        400,
        anthropic(
            "invalid_request_error",
            "input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000, decrease input length or "
            "`max_tokens` and try again",
        ),
    ),
    Said(
        "Gemini",
        "google-gemini/gemini-cli#4118",
        400,
        google(
            400,
            "INVALID_ARGUMENT",
            "The input token count (132478) exceeds the maximum number of tokens allowed (131072).",
        ),
    ),
    Said(
        "Gemini, in a list",
        "google-gemini/gemini-cli#6678",
        400,
        "["
        + google(
            400,
            "INVALID_ARGUMENT",
            "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576).",
            errors=[{"domain": "global", "reason": "badRequest"}],
        )
        + "]",
    ),
    Said(
        "Gemini, without a count",
        "arkavo-org/arkavo-edge#371",
        400,
        google(
            400, "INVALID_ARGUMENT", "The input token count exceeds the maximum number of tokens allowed (1048576)."
        ),
    ),
    Said(
        "Bedrock",
        "aws-samples/assessment-generator#2",
        400,
        '{"message":"Input is too long for requested model."}',
        amazon("ValidationException"),
    ),
    Said(
        "Bedrock, Anthropic's words",
        "aaif-goose/goose#7504",
        400,
        '{"message":"The model returned the following errors: prompt is too long: 227255 tokens > 200000 maximum"}',
        amazon("ValidationException"),
    ),
    Said(
        "Mistral (words as several projects record them, body as in aurelio-labs/semantic-router#297)",
        "earendil-works/pi packages/ai/test",
        400,
        json.dumps(
            {
                "object": "error",
                "message": "Prompt contains 300735 tokens and 0 images, which is too large for model with 131072 "
                "maximum context length",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            }
        ),
    ),
    Said(
        "vLLM",
        "vllm-project/vllm#20409",
        400,
        vllm(
            "This model's maximum context length is 16384 tokens. However, you requested 19591 tokens (9591 in the "
            "messages, 10000 in the completion). Please reduce the length of the messages or completion. None"
        ),
    ),
    Said(
        "vLLM, newer",
        "earendil-works/pi#5929",
        400,
        vllm(
            "This model's maximum context length is 262144 tokens. However, you requested 0 output tokens and your "
            "prompt contains at least 262145 input tokens, for a total of at least 262145 tokens. Please reduce the "
            "length of the input prompt or the number of requested output tokens. (parameter=input_tokens, "
            "value=262145)"
        ),
    ),
    Said(
        "vLLM, with images",
        "vllm-project/vllm#12165",
        400,
        vllm(
            "The prompt (total length 25938) is too long to fit into the model (context length 4096). Make sure that "
            "`max_model_len` is no smaller than the number of text tokens plus multimodal tokens."
        ),
    ),
    Said(
        "SGLang",
        "ranxianglei/billion-context#493",
        400,
        vllm("The input (400013 tokens) is longer than the model's context length (262144 tokens)."),
    ),
    Said(
        "a FastAPI gateway",
        "getkimchi/kimchi#794",
        400,
        json.dumps(
            {
                "detail": "ContextWindowExceededError: Hosted_vllmException - "
                + vllm("The input (1492905 tokens) is longer than the model's context length (1048576 tokens).")
            }
        ),
    ),
    Said(
        "llama.cpp",
        "oobabooga/textgen#7257",
        400,
        '{"error":{"code":400,"message":"the request exceeds the available context size. try increasing the context '
        'size or enable context shift","type":"exceed_context_size_error","n_prompt_tokens":14429,"n_ctx":8192}}',
    ),
    Said(
        "llama.cpp, before it said 400",
        "ggml-org/llama.cpp#15780",
        500,
        '{"error":{"code":500,"message":"the request exceeds the available context size. try increasing the context '
        'size or enable context shift","type":"server_error"}}',
    ),
    Said(
        "Text Generation Inference",
        "bytedance/UI-TARS-desktop#626",
        422,
        '{"error":"Input validation error: `inputs` tokens + `max_new_tokens` must be <= 65537. Given: 79993 `inputs` '
        'tokens and 1024 `max_new_tokens`","error_type":"validation"}',
    ),
    Said(
        "Text Generation Inference, input alone",
        "huggingface/text-generation-inference#695",
        422,
        '{"error":"Input validation error: `inputs` must have less than 1024 tokens. Given: 1168","error_type":'
        '"validation"}',
    ),
    Said(
        "Together",
        "stanford-crfm/helm#2079",
        422,
        openai(
            "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 2048. Given: 2019 `inputs` tokens "
            "and 30 `max_new_tokens`"
        ),
    ),
    Said(
        "Groq",
        "thepersonalaicompany/amurex-backend#51",
        400,
        openai(
            "Please reduce the length of the messages or completion.",
            param="messages",
            code="context_length_exceeded",
        ),
    ),
    Said(
        "Cerebras",
        "cline/cline#5140",
        400,
        '{"message":"Please reduce the length of the messages or completion. Current length is 42328 while limit is '
        '40000"}',
    ),
    Said(
        "OpenRouter",
        "Aider-AI/aider#3721",
        400,
        openrouter(
            400,
            "This endpoint's maximum context length is 131072 tokens. However, you requested about 141607 tokens "
            "(10535 of text input, 131072 in the output). Please reduce the length of either one, or use the "
            '"middle-out" transform to compress your prompt automatically.',
            provider_name="Chutes",
        ),
    ),
    Said(
        "Poolside",
        "earendil-works/pi#4943",
        400,
        openrouter(400, "Input length 131393 exceeds the maximum allowed input length of 131040 tokens."),
    ),
    Said(
        "xAI",
        "cline/cline#3120",
        400,
        '{"error":"This model\'s maximum prompt length is 131072 but the request contains 136973 tokens."}',
    ),
    Said(
        "DeepSeek",
        "FoundationAgents/OpenManus#79",
        400,
        openai(
            "This model's maximum context length is 65536 tokens. However, you requested 66343 tokens (62247 in the "
            "messages, 4096 in the completion). Please reduce the length of the messages or completion.",
            code="invalid_request_error",
        ),
    ),
    Said(
        "GitHub Copilot",
        "microsoft/vscode#289219",
        400,
        '{"error":{"message":"prompt token count of 1236658 exceeds the limit of 128000","code":'
        '"model_max_prompt_tokens_exceeded"}}',
    ),
    Said(
        "Moonshot",
        "MoonshotAI/kimi-cli#2011",
        400,
        '{"error":{"message":"Invalid request: Your request exceeded model token limit: 262144 (requested: 269030)",'
        '"type":"invalid_request_error"}}',
    ),
    Said(
        "LM Studio",
        "lmstudio-ai/lmstudio-bug-tracker#546",
        400,
        '{"error":"Trying to keep the first 111490 tokens when context the overflows. However, the model is loaded '
        "with context length of only 32768 tokens, which is not enough. Try to load the model with a larger context "
        'length, or provide a shorter input"}',
    ),
    Said(
        "LM Studio on MLX",
        "lmstudio-ai/lmstudio-bug-tracker#2339",
        400,
        '{"error":"Context size has been exceeded"}',
    ),
    Said(
        "Cohere",
        "cohere-ai/sandbox-topically#4",
        400,
        '{"message":"too many tokens: total number of tokens (prompt and prediction) cannot exceed 2048 - received '
        '6354. Try using a shorter prompt or a smaller max_tokens value."}',
    ),
    Said(
        "llama-cpp-python",
        "fedora-copr/logdetective-website#193",
        500,
        openai("Requested tokens (2285) exceed context window of 2048", kind="internal_server_error"),
    ),
]

QUOTA: Final = [
    Said(
        "OpenAI",
        "Pythagora-io/gpt-pilot#340",
        429,
        openai(
            "You exceeded your current quota, please check your plan and billing details.",
            kind="insufficient_quota",
            code="insufficient_quota",
        ),
    ),
    Said(
        "OpenAI, without a code",
        "ayaka14732/ChatGPTAPIFree#16",
        429,
        openai(
            "You exceeded your current quota, please check your plan and billing details.", kind="insufficient_quota"
        ),
    ),
    *(
        Said(
            f"OpenAI, {code}",
            "help.openai.com/en/articles/6614457",
            429,
            openai("(a code alone)", kind="billing", code=code),
        )
        for code in (
            "credit_balance_exhausted",
            "organization_usage_limit_exceeded",
            "organization_spend_limit_exceeded",
            "project_spend_limit_exceeded",
        )
    ),
    Said(
        "Anthropic",
        "anthropics/claude-code#66314",
        400,
        anthropic(
            "invalid_request_error",
            "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or "
            "purchase credits.",
        ),
    ),
    Said(
        "Anthropic, its own limit",
        "platform.claude.com/docs/en/api/rate-limits",
        429,
        anthropic(
            "rate_limit_error",
            "(a code alone)",
            details={"error_code": "enforced_spend_limit_reached"},
        ),
    ),
    Said(
        "Anthropic, the operator's limit",
        "developersdigest.tech/errors/api/anthropic-api/400-spend-limit-reached",
        400,
        anthropic("invalid_request_error", "You have reached your specified API usage limits."),
    ),
    Said("DeepSeek", "continuedev/continue#9942", 402, openai("Insufficient Balance", kind="unknown_error")),
    Said(
        "DeepSeek behind a gateway",
        "Aider-AI/aider#4851",
        400,
        openai("Insufficient Balance", kind="unknown_error", code="invalid_request_error"),
    ),
]

RATE: Final = [
    Said(
        "OpenAI",
        "openai/openai-dotnet#404",
        429,
        openai(
            "Rate limit reached for gpt-4o-mini in organization org on tokens per min (TPM): Limit 100000, Used 96749, "
            "Requested 19126. Please try again in 114h18m0s.",
            kind="tokens",
            code="rate_limit_exceeded",
        ),
    ),
    Said(
        "Azure",
        "jasonacox/TinyLLM#17",
        429,
        '{"error":{"code":"429","message":"Requests to the ChatCompletions_Create Operation under Azure OpenAI API '
        "version 2023-05-15 have exceeded token rate limit of your current AIServices S0 pricing tier. Please retry "
        'after 86400 seconds."}}',
    ),
    Said(
        "Gemini, which says quota and means rate",
        "gke-labs/gemini-for-kubernetes-development#1215",
        429,
        google(
            429,
            "RESOURCE_EXHAUSTED",
            "You exceeded your current quota, please check your plan and billing details.",
            details=[{"@type": "type.googleapis.com/google.rpc.Help", "links": []}],
        ),
    ),
    Said(
        "Anthropic",
        "anthropics/claude-code#55789",
        429,
        anthropic("rate_limit_error", "This request would exceed your account's rate limit. Please try again later."),
    ),
    Said(
        "Bedrock, whose words sound like a long prompt",
        "jin-bo/agentao#88",
        429,
        '{"message":"Too many tokens, please wait before trying again."}',
        amazon("ThrottlingException"),
    ),
]

LARGE_FOR_THE_ACCOUNT: Final = [
    Said(
        "Groq, a request beyond a minute's tokens",
        "cottongeeks/podscript#20",
        413,
        openai(
            "Request too large for model `llama-3.3-70b-versatile` in organization `org` service tier `on_demand` on "
            "tokens per minute (TPM): Limit 6000, Requested 10338, please reduce your message size and try again.",
            kind="tokens",
            code="rate_limit_exceeded",
        ),
    ),
    Said(
        "OpenAI, the same",
        "vanna-ai/vanna-flask#11",
        429,
        openai(
            "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 342389. The input or output "
            "tokens must be reduced in order to run successfully.",
            kind="tokens",
            code="rate_limit_exceeded",
        ),
    ),
    Said(
        "OpenRouter, a reply beyond what is left",
        "Gitlawb/openclaude#1125",
        402,
        openrouter(
            402,
            "This request requires more credits, or fewer max_tokens. You requested up to 32000 tokens, but can only "
            "afford 27342. To increase, visit https://openrouter.ai/settings/credits and upgrade to a paid account",
            provider_name=None,
        ),
    ),
]

REFUSED: Final = [
    Said(
        "Azure",
        "microsoft/TinyTroupe#85",
        400,
        json.dumps(
            {
                "error": {
                    "message": "The response was filtered due to the prompt triggering Azure OpenAI's content "
                    "management policy. Please modify your prompt and retry.",
                    "type": None,
                    "param": "prompt",
                    "code": "content_filter",
                    "status": 400,
                    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": {}},
                }
            }
        ),
    ),
    Said(
        "Anthropic",
        "anthropics/claude-code#6195",
        400,
        anthropic("invalid_request_error", "Output blocked by content filtering policy"),
    ),
]

BAD_CREDENTIAL: Final = [
    Said(
        "Gemini, which says 400",
        "zeroclaw-labs/zeroclaw#194",
        400,
        google(
            400,
            "INVALID_ARGUMENT",
            "API key not valid. Please pass a valid API key.",
            details=[{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}],
        ),
    ),
]

NO_MODEL: Final = [
    Said(
        "OpenAI",
        "shobrook/wut#14",
        404,
        openai("The model `gpt-4o` does not exist or you do not have access to it.", code="model_not_found"),
    ),
    Said(
        "Groq (words alone recorded)",
        "continuedev/continue#10832",
        404,
        openai("The model `llama3.1-405b` does not exist or you do not have access to it."),
    ),
    Said(
        "Azure",
        "chatboxai/chatbox#646",
        404,
        '{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist. If you '
        'created the deployment within the last 5 minutes, please wait a moment and try again."}}',
    ),
    Said(
        "Bedrock",
        "dirkpetersen/our-chat#3",
        403,
        '{"message":"You don\'t have access to the model with the specified model ID."}',
        amazon("AccessDeniedException"),
    ),
    Said(
        "OpenAI, a region",
        "songquanpeng/one-api#1692",
        403,
        openai(
            "Country, region, or territory not supported",
            kind="request_forbidden",
            code="unsupported_country_region_territory",
        ),
    ),
]

WRONG: Final = [
    Said(
        "DeepSeek, a limit on the answer",
        "we0-dev/we0#56",
        400,
        openai("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
    ),
    Said(
        "Bedrock, a limit on the answer",
        "RooCodeInc/Roo-Code#248",
        400,
        '{"message":"The maximum tokens you requested exceed the model limit of 4096. Try again with a maximum tokens '
        'value lower than 4096."}',
        amazon("ValidationException"),
    ),
    Said(
        "Mistral, an unknown member",
        "Gitlawb/openclaude#739",
        422,
        '{"detail":[{"type":"extra_forbidden","loc":["body","store"],"msg":"Extra inputs are not permitted",'
        '"input":false}]}',
    ),
]
