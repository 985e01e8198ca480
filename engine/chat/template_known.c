/* Chat templates with a name, for models that have no template or one that
 * cannot be rendered here. */

#include <flotilla/rows.h>

#include "engine/chat/template.h"

static const struct row {
    const char *name;
    const char *text;
} known[] = {
    {"chatml", "{% for m in messages %}"
               "{{ '<|im_start|>' + m.role + '\\n' + m.content + "
               "'<|im_end|>\\n' }}{% endfor %}"
               "{{ '<|im_start|>assistant\\n' }}"},
    {"llama3", "{{ bos_token }}{% for m in messages %}"
               "{{ '<|start_header_id|>' + m.role + '<|end_header_id|>\\n\\n' "
               "+ m.content | trim + '<|eot_id|>' }}{% endfor %}"
               "{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}"},
    {"llama2", "{% set s = namespace(system='') %}{% for m in messages %}"
               "{% if m.role == 'system' %}"
               "{% set s.system = '<<SYS>>\\n' + m.content + "
               "'\\n<</SYS>>\\n\\n' %}"
               "{% elif m.role == 'user' %}"
               "{{ bos_token + '[INST] ' + s.system + m.content + "
               "' [/INST]' }}{% set s.system = '' %}"
               "{% elif m.role == 'assistant' %}"
               "{{ ' ' + m.content + ' ' + eos_token }}{% endif %}"
               "{% endfor %}"},
    {"mistral", "{{ bos_token }}{% set s = namespace(system='') %}"
                "{% for m in messages %}{% if m.role == 'system' %}"
                "{% set s.system = s.system + m.content + '\\n\\n' %}"
                "{% elif m.role == 'user' %}"
                "{{ '[INST] ' + s.system + m.content + '[/INST]' }}"
                "{% set s.system = '' %}{% elif m.role == 'assistant' %}"
                "{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"},
    {"gemma", "{{ bos_token }}{% for m in messages %}"
              "{% if m.role == 'user' or m.role == 'assistant' %}"
              "{{ '<start_of_turn>' + ('model' if m.role == 'assistant' else "
              "'user') + '\\n' + m.content | trim + '<end_of_turn>\\n' }}"
              "{% endif %}{% endfor %}{{ '<start_of_turn>model\\n' }}"},
    {"phi3", "{% for m in messages %}"
             "{{ '<|' + m.role + '|>\\n' + m.content + '<|end|>\\n' }}"
             "{% endfor %}{{ '<|assistant|>\\n' }}"},
    {"zephyr", "{% for m in messages %}"
               "{{ '<|' + m.role + '|>\\n' + m.content + eos_token + '\\n' }}"
               "{% endfor %}{{ '<|assistant|>\\n' }}"},
    {"phi2", "{% for m in messages %}{% if m.role == 'system' %}"
             "{{ m.content + '\\n' }}{% elif m.role == 'assistant' %}"
             "{{ 'Output: ' + m.content + '\\n' }}{% elif m.role == 'user' %}"
             "{{ 'Instruct: ' + m.content + '\\n' }}{% endif %}{% endfor %}"
             "{{ 'Output:' }}"},
};

const char *flo_template_known(const char *name)
{
    const struct row *row = FLO_FIND_WORD(name, known, FLO_COUNT(known), name);

    return row == NULL ? NULL : row->text;
}
