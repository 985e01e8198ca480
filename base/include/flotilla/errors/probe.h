/* Codes of the errors whose ids begin with `probe.`.
 * Made by `make docs` from `base/errors.def`; change the table, not this
 * file. */
#ifndef FLOTILLA_ERRORS_PROBE_H
#define FLOTILLA_ERRORS_PROBE_H

enum {
    FLO_E_PROBE_GOLDEN = -1057,    /* probe.golden */
    FLO_E_PROBE_NONFINITE = -1058, /* probe.nonfinite */
    FLO_E_PROBE_SPEED = -1059,     /* probe.speed */
    FLO_E_PROBE_MEMORY = -1060,    /* probe.memory */
    FLO_E_PROBE_TIMEOUT = -1061,   /* probe.timeout */
    FLO_E_PROBE_UNSURE = -1062,    /* probe.unsure */
};

#endif
