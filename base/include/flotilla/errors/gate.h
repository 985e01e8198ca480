/* Codes of the errors whose ids begin with `gate.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_GATE_H
#define FLOTILLA_ERRORS_GATE_H

enum {
    FLO_E_GATE_EVIDENCE = -641,    /* gate.evidence */
    FLO_E_GATE_UNDECIDABLE = -642, /* gate.undecidable */
};

#endif
