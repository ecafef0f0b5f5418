/*
 * The three standard files of a process. To be called first in main, before anything is opened.
 *
 * Were one of them closed, the next file opened would take its number: log lines would be written
 * into a database, results to a socket. Each is held by one that fails as a closed one does: input
 * that cannot be read, output that cannot be written.
 */
#ifndef BASE_STANDARD_FILES_H
#define BASE_STANDARD_FILES_H

void standard_files_hold(void);

#endif
