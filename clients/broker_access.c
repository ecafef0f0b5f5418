#include "clients/broker_access.h"

#include "base/broker_url.h"
#include "base/nkey.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

size_t broker_access_put_options(struct broker_access *a, struct option *table)
{
    const struct option options[] = {
        {"nats-url", "CHAT_NATS_URL", OPTION_LIST, &a->nats_urls, 0, 0, "URL",
         "The broker, or several separated by commas; " CHAT_DEFAULT_URL " when not given. "
         "It may hold user:password@.",
         true},
        {"user", "CHAT_USER", OPTION_TEXT, &a->user, 0, 0, "NAME", "User for the broker.", false},
        {"password", "CHAT_PASSWORD", OPTION_TEXT, &a->password, 0, 0, "TEXT",
         "Password for --user.", true},
        {"token", "CHAT_TOKEN", OPTION_TEXT, &a->token, 0, 0, "TEXT", "Token for the broker.",
         true},
        {"nkey-seed", "CHAT_NKEY_SEED", OPTION_TEXT, &a->nkey_seed_file, 0, 0, "FILE",
         "File with the seed of an nkey user for the broker.", false},
        {"credentials", "CHAT_CREDENTIALS", OPTION_TEXT, &a->credentials_file, 0, 0, "FILE",
         "Credentials file (JWT and seed) for the broker.", false},
        {"tls-ca", "CHAT_TLS_CA", OPTION_TEXT, &a->tls_ca_file, 0, 0, "FILE",
         "Certificates of the authorities to trust for the broker; the connection to it must then "
         "be TLS.",
         false},
        {"tls-cert", "CHAT_TLS_CERT", OPTION_TEXT, &a->tls_cert_file, 0, 0, "FILE",
         "Certificate chain to show to the broker; needs --tls-key.", false},
        {"tls-key", "CHAT_TLS_KEY", OPTION_TEXT, &a->tls_key_file, 0, 0, "FILE",
         "Private key of --tls-cert.", false},
        {"inbox-prefix", "CHAT_INBOX_PREFIX", OPTION_TEXT, &a->inbox_prefix, 0, 0, "SUBJECT",
         "What the subjects of replies begin with, for brokers that tell their users apart by it; "
         "_INBOX when not given.",
         false},
        {"connection-name", "CHAT_CONNECTION_NAME", OPTION_TEXT, &a->connection_name, 0, 0, "TEXT",
         "What the broker's monitoring calls this connection; the program's name when not given.",
         false},
    };

    _Static_assert(sizeof options / sizeof *options == BROKER_ACCESS_OPTIONS, "as many as said");
    memcpy(table, options, sizeof options);
    return BROKER_ACCESS_OPTIONS;
}

static bool given(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static enum options_result mistake(const char *program, FILE *err, const char *text)
{
    fprintf(err, "%s: %s (see %s --help)\n", program, text, program);
    return OPTIONS_USAGE;
}

/* ---- Files ---- */

/* The broker's library does not say which file it could not read. */
static enum options_result check_file(const char *program, const char *name, const char *path,
                                      FILE *err)
{
    int file;

    if (!given(path))
        return OPTIONS_OK;
    file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        fprintf(err, "%s: the file of --%s cannot be read: %s: %s\n", program, name, path,
                strerror(errno));
        return OPTIONS_USAGE;
    }
    close(file);
    return OPTIONS_OK;
}

static enum options_result check_seed(const char *program, const char *path, FILE *err)
{
    char seed[NKEY_TEXT_BYTES];
    const char *problem;

    if (!given(path))
        return OPTIONS_OK;
    if (nkey_read_seed(path, seed, &problem) != 0) {
        fprintf(err, "%s: the file of --nkey-seed is not usable: %s: %s\n", program, path, problem);
        return OPTIONS_USAGE;
    }
    nkey_forget(seed);
    return OPTIONS_OK;
}

static enum options_result check_files(const struct broker_access *a, const char *program,
                                       FILE *err)
{
    enum options_result result = check_file(program, "credentials", a->credentials_file, err);

    if (result == OPTIONS_OK)
        result = check_seed(program, a->nkey_seed_file, err);
    if (result == OPTIONS_OK)
        result = check_file(program, "tls-ca", a->tls_ca_file, err);
    if (result == OPTIONS_OK)
        result = check_file(program, "tls-cert", a->tls_cert_file, err);
    if (result == OPTIONS_OK)
        result = check_file(program, "tls-key", a->tls_key_file, err);
    return result;
}

/* ---- The rest ---- */

/* An address may hold a password, and is not shown. */
static enum options_result check_urls(const struct broker_access *a, const char *program, FILE *err)
{
    for (size_t i = 0; i < a->nats_urls.count; i++) {
        const char *wrong = broker_url_mistake(a->nats_urls.values[i]);
        if (wrong == NULL)
            continue;
        fprintf(err,
                "%s: --nats-url must be nats://host:port or tls://host:port, but of number %zu %s "
                "(see %s --help)\n",
                program, i + 1, wrong, program);
        return OPTIONS_USAGE;
    }
    return OPTIONS_OK;
}

static int identities(const struct broker_access *a)
{
    return given(a->user) + given(a->token) + given(a->nkey_seed_file) + given(a->credentials_file);
}

enum options_result broker_access_check(const struct broker_access *a, const char *program,
                                        FILE *err)
{
    if (check_urls(a, program, err) != OPTIONS_OK)
        return OPTIONS_USAGE;
    if (given(a->inbox_prefix) && !broker_inbox_prefix_is_valid(a->inbox_prefix))
        return mistake(program, err,
                       "--inbox-prefix must be words joined by dots, without * and >");
    if (identities(a) > 1)
        return mistake(program, err,
                       "--user, --token, --nkey-seed and --credentials exclude each other");
    if (given(a->password) && !given(a->user))
        return mistake(program, err, "--password needs --user");
    if (given(a->tls_cert_file) != given(a->tls_key_file))
        return mistake(program, err, "--tls-cert and --tls-key go together");
    return check_files(a, program, err);
}

struct chat_options broker_access_options(const struct broker_access *a, const char *name)
{
    return (struct chat_options){
        .urls = (const char *const *)a->nats_urls.values,
        .url_count = a->nats_urls.count,
        .name = given(a->connection_name) ? a->connection_name : name,
        .user = a->user,
        .password = a->password,
        .token = a->token,
        .nkey_seed_file = a->nkey_seed_file,
        .credentials_file = a->credentials_file,
        .tls_ca_file = a->tls_ca_file,
        .tls_cert_file = a->tls_cert_file,
        .tls_key_file = a->tls_key_file,
        .inbox_prefix = a->inbox_prefix,
    };
}

void broker_access_free(struct broker_access *a)
{
    option_list_free(&a->nats_urls);
}
