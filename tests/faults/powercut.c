/*
 * powercut MOUNTPOINT: the file system there loses what it has not yet written to its device, and
 * takes no further writes, as if its power had gone (EXT4_IOC_SHUTDOWN, without a flush of its
 * log). Only root may.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

/* From the kernel's uapi/linux/ext4.h, which distributions do not all ship. */
#define IOC_SHUTDOWN _IOR('X', 125, uint32_t)
#define GOING_FLAGS_NOLOGFLUSH 2

int main(int argc, char **argv)
{
    uint32_t flags = GOING_FLAGS_NOLOGFLUSH;
    int directory = argc == 2 ? open(argv[1], O_RDONLY | O_DIRECTORY) : -1;

    if (directory < 0 || ioctl(directory, IOC_SHUTDOWN, &flags) != 0) {
        fprintf(stderr, "powercut: %s: %s\n", argc == 2 ? argv[1] : "which file system?",
                strerror(errno));
        return 1;
    }
    return 0;
}
