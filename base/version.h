/* The version of every program of this tree; semver.org. */
#ifndef BASE_VERSION_H
#define BASE_VERSION_H

#define CHAT_VERSION "0.1.0"

#endif
