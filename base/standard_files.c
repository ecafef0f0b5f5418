/* open takes the lowest number that is free, which is the one that was found to be. */
#include "base/standard_files.h"

#include <fcntl.h>
#include <unistd.h>

void standard_files_hold(void)
{
    for (int file = STDIN_FILENO; file <= STDERR_FILENO; file++) {
        if (fcntl(file, F_GETFD) < 0)
            (void)!open("/dev/null", file == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
}
