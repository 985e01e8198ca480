/* Codes of the errors whose ids begin with `hook.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_HOOK_H
#define FLOTILLA_ERRORS_HOOK_H

enum {
    FLO_E_HOOK_FAILED = -1153, /* hook.failed */
};

#endif
