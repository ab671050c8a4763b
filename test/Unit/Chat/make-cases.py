#!/usr/bin/env python3
"""Writes cases.json: what Jinja makes of templates in the environment of Hugging Face transformers.

    pip install jinja2==3.1.6
    python3 make-cases.py > cases.json

The templates are written for this test in the style of published ones, and small expressions for one
rule each. Run it again after adding some.
"""
import datetime
import json

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_generate"), [], [], body).set_lineno(line)

    def _generate(self, caller):
        return caller()


class Raised(Exception):
    pass


def raise_exception(message):
    raise Raised(message)


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True,
                                            extensions=[Generation, loopcontrols])
environment.filters["tojson"] = tojson
environment.globals["raise_exception"] = raise_exception
environment.globals["strftime_now"] = lambda format: datetime.datetime.now().strftime(format)

TEMPLATES = {
"llama2": """{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}""",
"llama3": """{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}""",
"llama3-tools": """{{- bos_token }}
{%- if custom_tools is defined %}
    {%- set tools = custom_tools %}
{%- endif %}
{%- if not tools_in_user_message is defined %}
    {%- set tools_in_user_message = true %}
{%- endif %}
{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = "26 Jul 2024" %}
    {%- else %}
        {%- set date_string = "none" %}
    {%- endif %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}

{#- The system message is taken out, so that it can be placed first. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}

{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none and not tools_in_user_message %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message }}
{{- "<|eot_id|>" }}

{%- if tools_in_user_message and not tools is none %}
    {%- if messages | length != 0 %}
        {%- set first_user_message = messages[0]['content']|trim %}
        {%- set messages = messages[1:] %}
    {%- else %}
        {{- raise_exception("Cannot put tools in the first user message when there's no first user message!") }}
{%- endif %}
    {{- '<|start_header_id|>user<|end_header_id|>\\n\\n' -}}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first_user_message + "<|eot_id|>"}}
{%- endif %}

{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("This model only supports single tool-calls at once!") }}
        {%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {{- '{"name": "' + tool_call.name + '", ' }}
        {{- '"parameters": ' }}
        {{- tool_call.arguments | tojson }}
        {{- "}" }}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}
{%- endif %}
""",
"chatml": """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}""",
"qwen": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0].role == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last_query_index=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step_tool and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step_tool = false %}
        {%- set ns.last_query_index = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning_content = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning_content = message.reasoning_content %}
        {%- else %}
            {%- if '</think>' in content %}
                {%- set reasoning_content = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
                {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
            {%- endif %}
        {%- endif %}
        {%- if loop.index0 > ns.last_query_index %}
            {%- if loop.last or (not loop.last and reasoning_content) %}
                {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning_content.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
            {%- else %}
                {{- '<|im_start|>' + message.role + '\\n' + content }}
            {%- endif %}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}""",
"mistral": """{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- if not tools is defined %}
    {%- set tools = none %}
{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}

{#- This block checks for alternating user/assistant messages, skipping tool calling messages #}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or message.role == "tool_results" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
            {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
        {%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}

{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {%- set tool = tool.function %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, val in tool.items() if key != "return" %}
                    {%- if val is string %}
                        {{- '"' + key + '": "' + val + '"' }}
                    {%- else %}
                        {{- '"' + key + '": ' + val|tojson }}
                    {%- endif %}
                    {%- if not loop.last %}
                        {{- ", " }}
                    {%- endif %}
                {%- endfor %}
                {{- "}}" }}
                {%- if not loop.last %}
                    {{- ", " }}
                {%- else %}
                    {{- "]" }}
                {%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
            {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for tool_call in message.tool_calls %}
            {%- set out = tool_call.function|tojson %}
            {{- out[:-1] }}
            {%- if not tool_call.id is defined or tool_call.id|length != 9 %}
                {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
            {%- endif %}
            {{- ', "id": "' + tool_call.id + '"}' }}
            {%- if not loop.last %}
                {{- ", " }}
            {%- else %}
                {{- "]" + eos_token }}
            {%- endif %}
        {%- endfor %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token}}
    {%- elif message["role"] == "tool_results" or message["role"] == "tool" %}
        {%- if message.content is defined and message.content.content is defined %}
            {%- set content = message.content.content %}
        {%- else %}
            {%- set content = message.content %}
        {%- endif %}
        {{- '[TOOL_RESULTS] {"content": ' + content|string + ", " }}
        {%- if not message.tool_call_id is defined or message.tool_call_id|length != 9 %}
            {{- raise_exception("Tool call IDs should be alphanumeric strings with length 9!") }}
        {%- endif %}
        {{- '"call_id": "' + message.tool_call_id + '"}[/TOOL_RESULTS]' }}
    {%- else %}
        {{- raise_exception("Only user and assistant roles are supported, with the exception of an initial optional system message!") }}
    {%- endif %}
{%- endfor %}
""",
"gemma": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}""",
"gemma3": """{{ bos_token }}
{%- if messages[0]['role'] == 'system' -%}
    {%- if messages[0]['content'] is string -%}
        {%- set first_user_prefix = messages[0]['content'] + '

' -%}
    {%- else -%}
        {%- set first_user_prefix = messages[0]['content'][0]['text'] + '

' -%}
    {%- endif -%}
    {%- set loop_messages = messages[1:] -%}
{%- else -%}
    {%- set first_user_prefix = "" -%}
    {%- set loop_messages = messages -%}
{%- endif -%}
{%- for message in loop_messages -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{ raise_exception("Conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif -%}
    {%- if (message['role'] == 'assistant') -%}
        {%- set role = "model" -%}
    {%- else -%}
        {%- set role = message['role'] -%}
    {%- endif -%}
    {{ '<start_of_turn>' + role + '
' + (first_user_prefix if loop.first else "") }}
    {%- if message['content'] is string -%}
        {{ message['content'] | trim }}
    {%- elif message['content'] is iterable -%}
        {%- for item in message['content'] -%}
            {%- if item['type'] == 'image' -%}
                {{ '<start_of_image>' }}
            {%- elif item['type'] == 'text' -%}
                {{ item['text'] | trim }}
            {%- endif -%}
        {%- endfor -%}
    {%- else -%}
        {{ raise_exception("Invalid content type") }}
    {%- endif -%}
    {{ '<end_of_turn>
' }}
{%- endfor -%}
{%- if add_generation_prompt -%}
    {{ '<start_of_turn>model
' }}
{%- endif -%}
""",
"phi3": """{% for message in messages %}{% if message['role'] == 'system' %}{{'<|system|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'user' %}{{'<|user|>\n' + message['content'] + '<|end|>\n'}}{% elif message['role'] == 'assistant' %}{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}""",
"zephyr": """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>
' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>
'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}
""",
"deepseek": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, is_output_first=true, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<\uff5cUser\uff5c>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is none %}{%- set ns.is_tool = false -%}{%- for tool in message['tool_calls']%}{%- if not ns.is_first %}{{'<\uff5cAssistant\uff5c><\uff5ctool\u2581calls\u2581begin\uff5c>' + tool['type'] + '\uff5c' + tool['function']['name'] + '\\n' + '```json' + '\\n' + (tool['function']['arguments'] | tojson) + '\\n' + '```'}}{%- set ns.is_first = true -%}{%- else %}{{'\\n' + tool['function']['name']}}{%- endif %}{%- endfor %}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{%- if ns.is_tool %}{{'<\uff5ctool\u2581outputs\u2581end\uff5c>' + message['content'] + eos_token}}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<\uff5cAssistant\uff5c>' + content + eos_token}}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{{message['content']}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<\uff5cAssistant\uff5c><think>\\n'}}{% endif %}""",
"command-r": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}{% elif false == true %}{% set loop_messages = messages %}{% set system_message = 'You are Command-R.' %}{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% if system_message != false %}{{ '<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>' + system_message + '<|END_OF_TURN_TOKEN|>' }}{% endif %}{% for message in loop_messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}{% set content = message['content'] %}{% if message['role'] == 'user' %}{{ '<|START_OF_TURN_TOKEN|><|USER_TOKEN|>' + content.strip() + '<|END_OF_TURN_TOKEN|>' }}{% elif message['role'] == 'assistant' %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>'  + content.strip() + '<|END_OF_TURN_TOKEN|>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>' }}{% endif %}""",
"command-r-tools": """{%- macro json_to_python_type(json_spec) %}
{%- set basic_type_map = {
    "string": "str",
    "number": "float",
    "integer": "int",
    "boolean": "bool"
} %}
{%- if basic_type_map[json_spec.type] is defined %}
    {{- basic_type_map[json_spec.type] }}
{%- elif json_spec.type == "array" %}
    {{- "List[" +  json_to_python_type(json_spec['items']) + "]"}}
{%- elif json_spec.type == "object" %}
    {{- "Dict[str, " + json_to_python_type(json_spec.additionalProperties) + ']'}}
{%- elif json_spec.type is iterable %}
    {{- "Union[" }}
    {%- for t in json_spec.type %}
      {{- json_to_python_type({"type": t}) }}
      {%- if not loop.last %}
        {{- "," }}
    {%- endif %}
    {%- endfor %}
    {{- "]" }}
{%- else %}
    {{- "Any" }}
{%- endif %}
{%- endmacro %}

{%- macro old_tool_parser(tools) %}
{%- for tool in tools %}
    {%- if loop.index0 != 0 %}
        {{- '\\n\\n' }}
    {%- endif %}
    {{- '```python\\ndef ' + tool.function.name + '(' }}
    {%- for param_name, param_fields in tool.function.parameters.properties|items %}
        {%- if loop.index0 != 0 %}
            {{- ', '}}
        {%- endif %}
        {{- param_name + ": " }}
        {%- if not param_name in tool.function.parameters.required %}
            {{- 'Optional[' + json_to_python_type(param_fields) + '] = None'}}
        {%- else %}
            {{- json_to_python_type(param_fields) }}
        {%- endif %}
    {%- endfor %}
    {{- ') -> List[Dict]:\\n    \"\"\"'}}
    {{- tool.function.description }}
    {%- if tool.function.parameters.properties|length != 0 %}
        {{- '\\n\\n    Args:\\n        '}}
        {%- for param_name, param_fields in tool.function.parameters.properties|items %}
            {%- if loop.index0 != 0 %}
                {{- '\\n        ' }}
            {%- endif %}
            {{- param_name + ' ('}}
            {{- json_to_python_type(param_fields) + '): ' + (param_fields.description | default('no description')) }}
        {%- endfor %}
    {%- endif %}
    {{- '\\n    \"\"\"\\n    pass\\n```' }}
{%- endfor %}
{%- endmacro %}
{{ bos_token }}
{%- for message in messages %}
{{ message.role | upper }}: {{ message.content }}
{%- endfor %}
{% if tools %}{{ old_tool_parser(tools) }}{% endif %}
""",
"smollm3": """{# ───── defaults ───── #}
{%- if enable_thinking is not defined -%}
{%- set enable_thinking = true -%}
{%- endif -%}

{# ───── reasoning mode ───── #}
{%- if enable_thinking -%}
  {%- set reasoning_mode = "/think" -%}
{%- else -%}
  {%- set reasoning_mode = "/no_think" -%}
{%- endif -%}

{# ───── header (system message) ───── #}
{{- "<|im_start|>system\\n" -}}

{%- if messages[0].role == "system" -%}
  {%- set system_message = messages[0].content -%}
  {%- if "/no_think" in system_message -%}
    {%- set reasoning_mode = "/no_think" -%}
  {%- elif "/think" in system_message -%}
    {%- set reasoning_mode = "/think" -%}
  {%- endif -%}
  {%- set custom_instructions = system_message.replace("/no_think", "").replace("/think", "").rstrip() -%}
{%- endif -%}

{{- "## Metadata\\n\\n" -}}
{{- "Reasoning Mode: " + reasoning_mode + "\\n\\n" -}}

{{- "## Custom Instructions\\n\\n" -}}
{%- if custom_instructions -%}
  {{- custom_instructions + "\\n\\n" -}}
{%- elif reasoning_mode == "/think" -%}
  {{- "You are a helpful AI assistant.\\n\\n" -}}
{%- endif -%}
{{- "<|im_end|>\\n" -}}
{# ───── main loop ───── #}
{%- for message in messages -%}
    {%- set content = message.content if message.content is string else "" -%}
    {%- if message.role == "user" -%}
        {{ "<|im_start|>" + message.role + "\\n"  + content + "<|im_end|>\\n" }}
    {%- elif message.role == "assistant" -%}
        {% generation %}
        {%- if reasoning_mode == "/think" -%}
            {{ "<|im_start|>assistant\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
        {%- else -%}
            {{ "<|im_start|>assistant\\n" + "<think>\\n\\n</think>\\n" + content.lstrip("\\n") + "<|im_end|>\\n" }}
        {%- endif -%}
        {% endgeneration %}
    {%- elif message.role == "tool" -%}
    {{ "<|im_start|>" + "user\\n"  + content + "<|im_end|>\\n" }}
    {%- endif -%}
{%- endfor -%}
{# ───── generation prompt ───── #}
{%- if add_generation_prompt -%}
    {%- if reasoning_mode == "/think" -%}
        {{ "<|im_start|>assistant\\n" }}
    {%- else -%}
        {{ "<|im_start|>assistant\\n" + "<think>\\n\\n</think>\\n"  }}
    {%- endif -%}
{%- endif -%}
""",
"glm": """[gMASK]<sop>{% for item in messages %}{% if item['tools'] is defined and item['role'] == 'system' %}{% set tools = item['tools'] %}{% for tool in tools %}{{ tool | tojson(indent=4, ensure_ascii=True) }}{% endfor %}{% endif %}{% if item['content'] %}<|{{ item['role'] }}|>{{ item['metadata'] }}
{{ item['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|assistant|>{% endif %}""",
"vicuna": """{%- for message in messages -%}
{%- if message.role == 'system' -%}
{{ message.content }} {% elif message.role == 'user' -%}
USER: {{ message.content }}
{% else -%}
ASSISTANT: {{ message.content }}{{ eos_token }}
{% endif %}
{% endfor %}
{%- if add_generation_prompt %}ASSISTANT:{% endif -%}
""",
"gpt-oss-like": """{%- macro render_typescript_type(param_spec, required_params, is_nullable=false) -%}
    {%- if param_spec.type == "array" -%}
        {%- if param_spec['items'] -%}
            {%- set inner_type = render_typescript_type(param_spec['items'], required_params) -%}
            {%- if inner_type|length > 50 -%}{{- "any[]" }}{%- else -%}{{- inner_type + "[]" }}{%- endif -%}
        {%- else -%}{{- "any[]" }}{%- endif -%}
    {%- elif param_spec.type is defined and param_spec.type is iterable and param_spec.type is not string and param_spec.type is not mapping and param_spec.type[0] is defined -%}
        {{- param_spec.type | join(" | ") }}
    {%- elif param_spec.oneOf -%}
        {%- for variant in param_spec.oneOf -%}
            {{- render_typescript_type(variant, required_params) -}}
            {%- if not loop.last %}{{- " | " }}{% endif -%}
        {%- endfor -%}
    {%- elif param_spec.type == "string" -%}
        {%- if param_spec.enum -%}{{- '"' + param_spec.enum|join('" | "') + '"' -}}{%- else -%}{{- "string" }}{%- endif -%}
    {%- elif param_spec.type == "object" -%}
        {{- "{\\n" }}
        {%- for prop_name, prop_spec in param_spec.properties.items() -%}
            {{- prop_name -}}
            {%- if prop_name not in (param_spec.required or []) -%}{{- "?" }}{%- endif -%}
            {{- ": " }}{{ render_typescript_type(prop_spec, param_spec.required or []) }}
            {%- if not loop.last %}, {% endif -%}
        {%- endfor -%}
        {{- "}" }}
    {%- else -%}{{- "number" if param_spec.type in ["number", "integer"] else "any" }}{%- endif -%}
{%- endmacro -%}
{%- for tool in tools or [] %}
type {{ tool.function.name }} = ({{ render_typescript_type(tool.function.parameters, []) }});
{% endfor %}
{%- for m in messages %}
<|start|>{{ m.role }}<|message|>{{ m.content or '' }}<|end|>
{%- endfor %}
""",
}

TOOLS = [{"type": "function", "function": {"name": "get_weather", "description": "The weather, \u00e9ventuellement <b>",
          "parameters": {"type": "object", "properties": {
              "city": {"type": "string", "description": "A city"},
              "days": {"type": "integer"},
              "tags": {"type": "array", "items": {"type": "string", "enum": ["a", "b"]}},
              "any": {"type": ["string", "null"]},
              "map": {"type": "object", "additionalProperties": {"type": "number"}, "properties": {"q": {"type": "boolean"}}}},
              "required": ["city"]}, "return": {"type": "string"}}},
         {"type": "function", "function": {"name": "now", "description": "", "parameters": {"type": "object", "properties": {}, "required": []}}}]
USER = {"role": "user", "content": "  Hello, who are \u4f60?\n"}
ANSWER = {"role": "assistant", "content": "<think>\nhm\n</think>\n\nI'm \"fine\".  "}
CONVERSATIONS = [
    [USER],
    [{"role": "system", "content": "Be brief. /no_think "}, USER],
    [USER, ANSWER, {"role": "user", "content": "And now?"}],
    [{"role": "system", "content": "S"}, USER, ANSWER, {"role": "user", "content": ""}, {"role": "assistant", "content": "x"}],
    [USER, {"role": "assistant", "content": None, "tool_calls": [
        {"id": "abcdefghi", "type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris\n", "n": 1.0, "big": 1e20, "f": False}}}]},
     {"role": "tool", "content": "{\"t\": 20}", "tool_call_id": "abcdefghi"}, {"role": "assistant", "content": "20"}],
    [ANSWER],
    [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": " what? "}]}],
]

BASE = {"bos_token": "<s>", "eos_token": "</s>"}
M = {"messages": CONVERSATIONS[3], "x": 5, "f": 2.5, "s": "Hello World", "u": "\u00c4\u00f6\u00df \U0001f600x", "l": [3, 1, 2], "d": {"b": 1, "a": [1, 2], "items": 7, "C": None},
     "n": None, "t": True, "e": "", "words": ["apple", "Banana", "cherry", "apple"], "people": [{"name": "Bo", "age": 3, "tag": {"k": "z"}}, {"name": "al", "age": 1}, {"name": "Cy", "age": 2, "x": True}],
     "q": "it's", "qq": "a\"b'c\\\n\t\u200b\u00e9\u0001", "ws": " \n\ta b\u00a0\u3000", "lines": "a\nb\r\nc\n\nd"}

EXPRESSIONS = r"""
x + 1|x - 2 * 3|x / 2|4 / 2|x // 2|-7 // 2|-7 % 3|7 % -3|-7.5 % 2|2 ** 10|2 ** -1|-2 ** 2|1 + 2 ~ 3 * 2|1.0|1e3|1e16|1e-5|0.1 + 0.2|123456789.125|1e15 + 0.5|1_000|0x1F|0b101|0o17
f // 1|7.5 // 2|-7.5 // 2|true + true|t and n|n or 'z'|e or 0 or 'last'|not e|not not x|1 < 2 < 3|1 < 3 < 2|1 == 1.0|true == 1|'a' == 'a'|[1, 2] == [1, 2]|(1, 2) == [1, 2]|{'a': 1} == {'a': 1.0}|'a' < 'b'|[1, 2] < [1, 3]
1 in [1, 2]|'a' in 'cat'|'z' not in 'cat'|'b' in d|4 not in l|n in [n]|undefinedvar in [1]|1 in undefinedvar|undefinedvar == undefinedvar2|undefinedvar == ''|undefinedvar != none
undefinedvar|undefinedvar ~ 'x'|undefinedvar is defined|x is defined|n is none|n is not none|d.zzz is defined|d.zzz|d['zzz'] is undefined|undefinedvar or 'fallback'|undefinedvar | default('d')|e | default('d')|e | default('d', true)|n | default('d')|n | d('x', boolean=true)
undefinedvar | length|undefinedvar | list|'yes' if x > 3 else 'no'|'yes' if x > 9|('a' if n else 'b') ~ 'c'|1 if 0 else 2 if 0 else 3|[1, 'a', none, true, 1.5, (1,), ()]|(1, 2)|{'a': 1, 'b': [1], 2: {'c': 'd'}}|[]|{}|q|[q]|[qq]|[u]|['"', "'"]|d
s[0]|s[-1]|s[20]|s[1:3]|s[:-1]|s[::-1]|s[::2]|s[-3:]|s[5:2]|s[10:1:-2]|s[-100:100]|u[0]|u[4]|u[4:]|u[::-1]|u | length|l[0]|l[-1]|l[5]|l[1:]|l[::-1]|l[:]|l[-2:][0]|messages[1:][0].role|messages[-1]['content']|messages[99] is defined
d.a|d['a']|d.items is callable|d['items']|d.get('a')|d.get('zz')|d.get('zz', 3)|d.keys() | list|d.values() | list|d.items() | list|d | items | list|d.items()|d | length|d | list|'a' in d.keys()|s.upper()|s.nosuch is defined|l.0|people[0].tag.k
s | upper|s | lower|s | title|s | capitalize|u | upper|u | lower|'o''k'|"tab\tnew\nx"|'\u00e9\x41'|'\q'|'it\'s'|'HELLO wORLD-foo (bar)' | title|"they're bill's" | title|"they're bill's friends".title()|'x1y'.title()|'élan vital' | capitalize
ws | trim|ws.strip()|ws.lstrip()|ws.rstrip()|'xxhixx'.strip('x')|'xyhix'.strip('yx')|'xxhixx' | trim('x')|s.split()|s.split('o')|s.split('o', 1)|' a  b '.split()|' a  b '.split(' ')|'a,b,c'.rsplit(',', 1)|'a b c'.split(none, 1)|''.split()|''.split(',')|lines.splitlines()|lines.splitlines(true)
s.startswith('Hell')|s.startswith(('x', 'H'))|s.endswith('d')|s.endswith('D')|s.find('o')|s.find('zz')|s.rfind('o')|u.find('x')|s.find('o', 5)|s.index('W')|s.count('l')|s.replace('l', 'L')|s.replace('l', 'L', 1)|'abc'.replace('', '-')|'abc'.replace('', '-', 2)|''.replace('', 'x')
s | replace('World', 'you')|12 | replace('1', 'x')|s.isalpha()|'abc'.isalpha()|'12'.isdigit()|''.isdigit()|'1a'.isalnum()|' '.isspace()|'AB'.isupper()|'ab1'.islower()|'12'.isnumeric()|'²'.isdigit()|'½'.isnumeric()|'²'.isdecimal()|'a-b-c'.partition('-')|'a-b-c'.rpartition('-')|'abc'.partition('x')
'prefix-x'.removeprefix('prefix-')|'x.txt'.removesuffix('.txt')|'x'.center(5, '*')|'xy'.center(5)|'x'.center(4) ~ '.'|'x'.ljust(3, '-')|'x'.rjust(3, '-')|'{} and {}'.format(1, 'b')|'{0}{1}{0}'.format('a', 2)|'{a}!'.format(a=1)|'{{}}'.format()|'-'.join(['a', 'b'])|'%s is %d' % ('x', 3)|'%s' % s|'%.2f' % 3.14159|'%5d|%-5d|' % (1, 2)|'100%%' % ()|'%s %s' | format('a', 1)
l | sort|l | sort(reverse=true)|words | sort|words | sort(case_sensitive=true)|people | sort(attribute='age') | map(attribute='name') | list|people | map(attribute='name') | join(', ')|people | map(attribute='tag.k', default='-') | list|people | map(attribute='x') | list|words | map('upper') | list|words | map('replace', 'a', 'o') | list
people | selectattr('x') | list | length|people | selectattr('x', 'defined') | map(attribute='name') | first|people | rejectattr('age', 'gt', 1) | map(attribute='name') | list|messages | selectattr('role', 'equalto', 'user') | list | length|messages | selectattr('role', 'in', ['user', 'system']) | map(attribute='role') | list|l | select('odd') | list|l | reject('odd') | list|l | select('>', 1) | list|[0, 1, ''] | select | list
l | first|l | last|[] | first|s | first|s | last|e | first|l | max|l | min|words | max|l | sum|people | sum(attribute='age')|l | reverse | list|s | reverse|words | unique | list|['a', 'A', 'b'] | unique | list|l | join|l | join('-')|[1, none, 'x'] | join(',')|s | list|d | dictsort|d | dictsort(reverse=true)
s | length|l | count|5.7 | int|'42' | int|' 42 ' | int|'42.9' | int|'x' | int|'x' | int(7)|'ff' | int(0, 16)|'1.5' | float|'x' | float|3 | float|2.5 | round|3.5 | round|2.675 | round(2)|2.1 | round(0, 'ceil')|2.9 | round(method='floor')|-5 | abs|5 | string|none | string|true | string|1.0 | string
l | batch(2) | list|[1, 2, 3] | batch(2, 0) | list|'a\nb\n\nc' | indent|'a\nb' | indent(2, true)|'a\n\nb' | indent(2, blank=true)|d | tojson|d | tojson(indent=2)|[] | tojson(indent=2)|{} | tojson|qq | tojson|u | tojson|u | tojson(ensure_ascii=true)|[1.0, 1e20, 1e-7, true, none] | tojson|d | tojson(sort_keys=true)|{'b': [1, {'c': []}], 'a': {}} | tojson(indent=4)|l | tojson(separators=(',', ':'))|'<a href="x">&\'</a>' | tojson
{1: 2, none: 3, true: 4} | tojson|(1, 2) | tojson|range(3) | list|range(1, 10, 3) | list|range(3, 0, -1) | list|range(3)|range(5) | length|range(5)[1]|dict(a=1, b=2)|dict(d, z=1)|namespace(a=1).a|x is number|t is number|t is boolean|t is integer|x is integer|f is float|s is string|s is iterable|s is sequence|l is sequence|d is mapping|l is mapping|d is sequence|undefinedvar is iterable|n is iterable|x is iterable
x is odd|x is even|x is divisibleby 5|x is divisibleby(2)|x is eq 5|x is equalto(5)|x is ne 5|x is gt 3|x is lessthan 3|x is ge 5|x is in [5]|x is not in [5]|t is true|x is true|t is sameas true|n is sameas none|'abc' is lower|'ABC' is upper|range is callable|s is not string|x is string or s is string|not x is string|x is defined and n is none
[1, 2] + [3]|(1,) + (2,)|'ab' * 3|3 * 'ab'|[0] * 3|'ab' * -1|'a' 'b'|[1, 2, 3,]|{'a': 1,}|(1, 2, 3)[1]|{'k': {'z': 1}}.k.z|[[1, 2], [3]][0][1]|(l | sort)[0]|l|length + 1|-l | first|s.split(' ')[0] | lower | replace('h', 'j')|s.split(' ') | map('lower') | join(' ')|(s ~ '!').upper()|'%s' % none|x ~ f ~ n ~ t|1 ~ 2|"a" ~ 1 + 2
people | map(attribute='name')|l is iterable and l is not string and l is not mapping|messages | map(attribute='content') | map('trim') | map('length') | list|(people | selectattr('age', '==', 99) | list) or 'none'|'yes' if people | selectattr('age', '==', 99) else 'no'|loop is defined|messages | length|tools is none|tools is defined|documents
'a'.nosuch|d.zzz.yyy is defined|l | attr('x') is defined|d | attr('a') is defined|'\n' in lines|'x' if 'a' in d and d.a else 'y'|d.a is iterable and d.a | length > 1|messages[0].content[:1]|messages[0].content.split() | length|'€' | length|'€uro'[0]|'日本語'[1:]|'日本語' | reverse|true|none|True|None|false
""".strip().split("\n")

# Separated by a bar that no filter stands behind: a bar with blanks is a filter.
SNIPPETS = [expression for line in EXPRESSIONS for expression in __import__("re").split(r"(?<! )\|(?! )", line)]

STATEMENTS = [
    "{% for i in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.first }}{{ loop.last }}{{ loop.length }},{% endfor %}",
    "{% for i in l %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }};{% endfor %}",
    "{% for i in l %}{{ loop.previtem is defined }}{{ loop.cycle('a', 'b') }}{{ loop.changed(i > 1) }}{% endfor %}",
    "{% for i in [] %}x{% else %}empty{% endfor %}",
    "{% for i in l if i > 1 %}{{ i }}{{ loop.length }}{% else %}none{% endfor %}",
    "{% for i in l if i > 9 %}{{ i }}{% else %}none{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}",
    "{% for k in d %}{{ k }}{% endfor %}",
    "{% for c in s %}{{ c }}.{% endfor %}",
    "{% for (a, b), c in [((1, 2), 3)] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a in undefinedvar %}x{% else %}none{% endfor %}",
    "{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "{% for i in l %}{% for j in l %}{% if j == i %}{% break %}{% endif %}{{ loop.depth }}{{ j }}{% endfor %}{{ loop.index }};{% endfor %}",
    "{% set x = 1 %}{% for i in l %}{% set x = i %}{{ x }}{% endfor %}{{ x }}",
    "{% for i in l %}{{ y }}{% set y = i %}{% endfor %}{{ y is defined }}",
    "{% if true %}{% set z = 3 %}{% endif %}{{ z }}",
    "{% set ns = namespace(a=1, b=[]) %}{% for i in l %}{% set ns.a = ns.a + i %}{% set ns.b = ns.b + [i] %}{% endfor %}{{ ns.a }}{{ ns.b }}{{ ns.c is defined }}",
    "{% set a, b = 1, 2 %}{{ a + b }}{% set c = a, b %}{{ c }}",
    "{% set t %}  <b>{{ x }}</b>\n{% endset %}[{{ t }}]{{ t is string }}",
    "{% set t | upper | trim %} abc {% endset %}[{{ t }}]",
    "{% macro m(a, b=2, c=a) %}{{ a }}-{{ b }}-{{ c }}{% endmacro %}{{ m(1) }} {{ m(1, 3) }} {{ m(b=5, a=4) }} {{ m() }}",
    "{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, k=3) }}",
    "{% macro m(n) %}{% if n > 0 %}{{ n }}{{ m(n - 1) }}{% endif %}{% endmacro %}{{ m(3) }}",
    "{% set g = 1 %}{% macro m() %}{{ g }}{% set g = 5 %}{{ g }}{% endmacro %}{{ m() }}{{ g }}",
    "{% macro m() %}<{{ caller() }}>{% endmacro %}{% call m() %}in{{ x }}side{% endcall %}",
    "{% macro m() %}<{{ caller(1, 2) }}>{% endmacro %}{% call(a, b) m() %}{{ a + b }}{% endcall %}",
    "{% macro m(x) %}{{ x }}{% endmacro %}{{ m('  a ') | trim | upper }}{{ m(1) + '1' }}",
    "{% with a = 1, b = x %}{{ a + b }}{% endwith %}{{ a is defined }}",
    "{% filter upper %}abc{{ s }}{% endfilter %}",
    "{% filter trim | replace('a', 'b') %} aaa {% endfilter %}",
    "{% raw %}{{ x }} {% if %}{% endraw %}y",
    "a {%- raw -%}  {{ z }}  {%- endraw -%}  b",
    "{% generation %}{% set zz = 1 %}{{ zz }}{% endgeneration %}{{ zz is defined }}",
    "a{# comment #}b{#- c -#} d",
    "a\n  {# comment #}\nb",
    "a\n  {%+ if true %}b{% endif %}",
    "  {% if true %}\n    x\n  {% endif %}\n  y\n",
    "  {% if true %}  \n    x\n  {%- endif %}\n  y\n\n",
    "a {{- x -}}   b {{ x }}\nc",
    "{{ x }}\n{{ x }}\n\n",
    "{%- if true -%}\n\n  x  \n\n{%- endif -%}  \n y",
    "{% if true +%}\nx{% endif %}",
    "a\r\nb\rc\n",
    "{% if x == 1 %}a{% elif x == 5 %}b{% else %}c{% endif %}",
    "{% if n %}a{% elif e %}b{% endif %}z",
    "{% if x > 1 and not n or false %}ok{% endif %}",
    "{% if messages[0].role == 'system' and messages | length > 1 %}ok{% endif %}",
    "{{ {'a': {'b': 'c}}'}}['a']['b'] }}",
    "{{ '{{ not code }}' }}{{ \"%}\" }}",
    "{{ 1, 2 }}",
    "\t{% if true %}x{% endif %}\t{# y #}\n\t{{ 1 }}",
    "{% for m in messages %}{{ m.role }}{% if not loop.last %}, {% endif %}{% endfor %}",
    "{% set gen = l | select('odd') %}{% for i in gen %}{{ i }}{% endfor %}|{% for i in gen %}{{ i }}{% endfor %}",
    "{% set items = d.items() %}{% for k, v in items %}{{ k }}{% endfor %}{% for k, v in items %}{{ k }}{% endfor %}",
    "{{ raise_exception('stop here') }}",
    "{% if x == 5 %}{{ raise_exception('bad role: ' + s) }}{% endif %}",
    "{{ undefinedvar.x }}",
    "{{ undefinedvar['x'] }}",
    "{{ undefinedvar() }}",
    "{{ undefinedvar + 'x' }}",
    "{{ d.nosuch.x }}",
    "{{ n.x.y }}",
    "{{ 'a' + 1 }}",
    "{{ 'a' + n }}",
    "{{ [1] + 'a' }}",
    "{{ 1 < 'a' }}",
    "{{ 1 in 5 }}",
    "{{ 1 in 'a' }}",
    "{{ n | length }}",
    "{% for i in n %}{% endfor %}",
    "{% for i in 5 %}{% endfor %}",
    "{{ l | map(attribute='x') | map('nosuchfilter') | list }}",
    "{{ l.append(4) }}",
    "{{ ''.__class__.__mro__ }}",
    "{{ 1 / 0 }}",
    "{{ 'a'.index('b') }}",
    "{{ '' .join([1]) }}",
    "{% set ns = namespace() %}{{ ns.x.y }}",
    "{% set d.x = 1 %}",
    "{{ (1).__class__ }}",
]


def attempt(template, variables):
    case = {"template": template, "variables": variables}
    try:
        values = dict(variables)
        values.setdefault("tools", None)
        values.setdefault("documents", None)
        case["expected"] = environment.from_string(template).render(**values)
    except Raised as error:
        case["raises"] = str(error)
    except Exception:
        case["raises"] = ""
    return case


cases = []
for name, template in TEMPLATES.items():
    for messages in CONVERSATIONS:
        for extra in ({"add_generation_prompt": True}, {"add_generation_prompt": False, "tools": TOOLS, "enable_thinking": False}):
            cases.append(attempt(template, {"messages": messages, **BASE, **extra}))
    cases.append(attempt(template, {"messages": CONVERSATIONS[0], **BASE, "tools": TOOLS, "tools_in_user_message": False}))
for snippet in SNIPPETS:
    cases.append(attempt("{{ " + snippet + " }}", M))
for statement in STATEMENTS:
    cases.append(attempt(statement, M))
# Printing some kinds of objects is an accident of the implementation.
cases = [case for case in cases if " at 0x" not in case.get("expected", "") and "<function" not in case.get("expected", "")]


def number(table, value):
    """The place of a value in a table, where it is put if it is new."""
    if value not in table:
        table.append(value)
    return table.index(value)


templates, variables = [], []
for case in cases:
    case["template"] = number(templates, case["template"])
    case["variables"] = number(variables, case["variables"])
lines = lambda values: "[\n" + ",\n".join(json.dumps(value) for value in values) + "\n]"
print('{"templates": %s,\n"variables": %s,\n"cases": %s}' % (lines(templates), lines(variables), lines(cases)))
