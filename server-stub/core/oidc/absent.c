/* Replaces the code for an identity provider in a build without one.  People
 * who logged in by a provider before keep their names. */
#include <string.h>

#include "server-stub/core/oidc/oidc.h"

bool flo_oidc_is_account(const char *person)
{
    return strncmp(person, "oidc:", 5) == 0;
}
