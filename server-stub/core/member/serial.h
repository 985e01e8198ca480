/* Claims by serial number: decides whether a device with this serial may enrol,
 * and as which device.  Pure.
 *
 * People prepare a list of serial numbers.  A device that enrols with one of
 * them gets the settings of its row. */
#ifndef FLOTILLA_SERVER_SERIAL_H
#define FLOTILLA_SERVER_SERIAL_H

#include <flotilla/base.h>

/* Policy for a device whose serial is not on the list. */
enum flo_unlisted {
    FLO_UNLISTED_OPEN,   /* the device enrols, with the name and labels that it sends */
    FLO_UNLISTED_WAIT,   /* the device waits in the list until people prepare it */
    FLO_UNLISTED_REFUSE, /* is refused */
    FLO_UNLISTED_COUNT
};
const char *flo_unlisted_word(enum flo_unlisted policy);
bool flo_unlisted_parse(const char *word, enum flo_unlisted *out);

/* Turns a serial into a name: lower case letters, digits, '.', '_' and '-';
 * other characters become '-'.  Returns false when it is empty, too long, or
 * does not begin with a letter or digit. */
bool flo_serial_normal(const char *text, char out[FLO_NAME_MAX + 1]);

enum flo_serial_verdict {
    FLO_SERIAL_OPEN,     /* the device enrols without a row */
    FLO_SERIAL_PREPARED, /* the device enrols with the settings of its row */
    FLO_SERIAL_WAITS,    /* the device's row waits until people prepare it */
    FLO_SERIAL_REFUSED,  /* the serial is not on the list, or the device gave none */
    FLO_SERIAL_TAKEN     /* another device already enrolled with this number */
};
struct flo_serial_facts {
    enum flo_unlisted policy;
    bool has_serial;  /* the device sent a serial number */
    bool is_prepared; /* people prepared the row of that number */
    bool is_claimed;  /* an active device enrolled with that number */
};
enum flo_serial_verdict flo_serial_decide(const struct flo_serial_facts *facts);

#endif
