/* Given: files of a folder that somebody else made: a model, an adapter, a recipe.
 *
 * Who names the folder wants its files, but not what its links reach: a link in
 * place of a file would sign a file of the publisher, which all devices get.  So
 * each name is opened beneath the folder.  A link inside is followed.  In a cache
 * of Hugging Face, a file of snapshots/X may link to blobs/ next to snapshots/. */
#ifndef FLOTILLA_BASE_GIVEN_H
#define FLOTILLA_BASE_GIVEN_H

#include <flotilla/base.h>

/* FOLDER/./NAME is a path that flo_file_open() and flo_file_read() open beneath
 * FOLDER, also in another program that gets the path. */
#define FLO_GIVEN_MARK "/./"

/* Opens a regular file for reading.  `name` may have parts: 1_Pooling/config.json.
 * The caller closes *fd.
 *
 * FLO_E_ABSENT      there is no such name
 * FLO_E_IO_SYMLINK  the name leads out of the folder, or nowhere: the text has the target
 * FLO_E_IO_OPEN     no regular file, or a hard link to a file whose owner is not the folder's */
FLO_MUST_USE int flo_given_open(const char *folder, const char *name, int *fd, struct flo_err *err);
/* Reads such a file whole, as flo_file_read() does. */
FLO_MUST_USE int flo_given_read(const char *folder, const char *name, size_t bytes_max, char **data,
                                size_t *bytes, struct flo_err *err);

/* ---- file.c ---- */

/* Fails as an open() did, by errno. */
int flo_given_fail(const char *path, struct flo_err *err);
/* Calls openat2(); `resolve` has its RESOLVE_ bits.  A kernel that lacks it gets one
 * name after the other, and no link is followed.  Returns -1 with the reason in errno. */
int flo_given_open_at(int dir_fd, const char *path, int flags, mode_t mode, uint64_t resolve);
/* Reads an open file as flo_file_read() does; `path` is for messages. */
FLO_MUST_USE int flo_given_read_open(int fd, const char *path, size_t bytes_max, char **data,
                                     size_t *bytes, struct flo_err *err);

#endif
