/* Broker: writes the folder of authorities.
 *
 * mosquitto reads a file of authorities once, at its start.  In a folder it
 * looks up the issuer for each certificate, by the hash of its name, so an
 * added authority is known without a restart. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "server-stub/mqtt/broker/process.h"
#include "server-stub/state/pki/pki.h"

static int write_one(const char *folder, const struct flo_authority *authority,
                     char name[FLO_AUTHORITY_NAME], struct flo_err *err)
{
    char path[4096];

    FLO_TRY(flo_authority_file_name(authority->pem, authority->bytes, name, err));
    if (!flo_path_join(path, sizeof(path), folder, name)) {
        return flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", folder);
    }
    return flo_file_write(path, authority->pem, authority->bytes, 0644, err);
}

static bool is_one_of(char names[][FLO_AUTHORITY_NAME], size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

static int remove_others(const char *folder, char names[][FLO_AUTHORITY_NAME], size_t count,
                         struct flo_err *err)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;
    char path[4096];

    if (dir == NULL) {
        return flo_fail_errno(err, FLO_E_IO_OPEN, "%s", folder);
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.' && !is_one_of(names, count, entry->d_name) &&
            flo_path_join(path, sizeof(path), folder, entry->d_name)) {
            unlink(path);
        }
    }
    closedir(dir);
    return 0;
}

int flo_broker_authorities(struct flo_controller *controller, struct flo_err *err)
{
    const struct flo_pki *pki = controller->pki;
    char names[FLO_AUTHORITIES_MAX][FLO_AUTHORITY_NAME];
    char folder[4096];

    if (!flo_path_join(folder, sizeof(folder), controller->dir, "mosquitto/authorities")) {
        return flo_fail(err, FLO_E_IO_OPEN, "path %s is too long", controller->dir);
    }
    FLO_TRY(flo_dir_make(folder, 0700, err));
    for (size_t i = 0; i < flo_pki_authority_count(pki); i++) {
        FLO_TRY(write_one(folder, flo_pki_authority_at(pki, i), names[i], err));
    }
    return remove_others(folder, names, flo_pki_authority_count(pki), err);
}
