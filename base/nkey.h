/*
 * NATS nkeys: a user's seed from a file, and the public key that belongs to it. Pure but for the
 * file; any thread. Seeds are secrets: wipe the buffers with nkey_forget.
 */
#ifndef BASE_NKEY_H
#define BASE_NKEY_H

/* A seed has 58 characters, a public key 56. */
#define NKEY_TEXT_BYTES 64

/*
 * Reads a user's seed ("SU…") from a file that may have other lines, such as those that frame it.
 * Returns 0, or -1 and a sentence fragment in `problem` that says what is wrong with the file.
 */
int nkey_read_seed(const char *path, char seed[NKEY_TEXT_BYTES], const char **problem);

/* Writes the public key ("U…") of a user's seed. Returns 0, or -1 when it is none. */
int nkey_public_key(const char *seed, char public_key[NKEY_TEXT_BYTES]);

void nkey_forget(char seed[NKEY_TEXT_BYTES]);

#endif
