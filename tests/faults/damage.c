/*
 * damage TRIALS SEED [ONLY]: flips bits in, overwrites and cuts short the files of a data
 * directory, and looks at what the store makes of it. ONLY repeats the one trial of that number.
 *
 *     make a store: chats settled in the database, later messages in the journal alone
 *     ─▶ for each trial: lay its files out anew, damage one ─▶ a process of its own opens the
 * store, reads every message, sends some again, asks for every chat again, and compares
 *
 * Good is: no harm done; or refused to open, with a reason, and nothing changed; or a request
 * refused for damage and the place logged; or an end with a reason. A torn end of the journal may
 * cost the last batch, and says so. Bad is: a wrong byte served, a message gone without a word, a
 * second one made of a retry, a crash, a hang. Exit status 0 if all is good; bad trials are named
 * with what to type to see them again.
 *
 * It works in /dev/shm if it can: there, 10,000 trials take minutes.
 */
#include "base/log.h"
#include "store/store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHATS 6
#define SETTLED 900 /* messages; more than a segment of the journal */
#define UNSETTLED 90
#define WAVE 6 /* messages in one batch */
#define MESSAGES (SETTLED + UNSETTLED)
#define TEXT_BYTES_MAX 4000
#define FILES_MAX 16
#define PATIENCE_S 20
#define PAGE_BYTES ((size_t)8 * 1024 * 1024)
#define LOG_BYTES 4096
#define PATH_BYTES 2048

/* --- what the trials are compared with; shared between the processes --- */

struct truth {
    unsigned chat;
    uint64_t seq;
    uint32_t size;
    uint8_t bytes[TEXT_BYTES_MAX + 512];
};

enum outcome {
    HARMLESS,
    REFUSED, /* the store does not open, and says why */
    NAMED,   /* requests are refused for damage, and the log names it */
    TORN,    /* the last batch is gone, and the log says so */
    ENDED,   /* with exit status 70 and a reason */
    BAD, /* wrong bytes, something missing without a word, a retry that became another message */
    CRASHED, /* a signal */
    HUNG,    /* still there after PATIENCE_S */
    CHANGED, /* refused, and yet the files are not as they were */
    OUTCOMES,
};

static const char *const outcome_names[OUTCOMES] = {
    "harmless", "refused to open", "named", "torn end", "ended with a reason",
    "BAD",      "CRASHED",         "HUNG",  "CHANGED",
};

struct shared {
    struct uuid chats[CHATS];
    uint64_t heads[CHATS];
    struct truth messages[MESSAGES];
    char detail[600]; /* of the trial: what is wrong, or why it was refused */
};

static struct shared *shared;

struct file {
    char name[64]; /* in the data directory */
    uint8_t *bytes;
    size_t size;
    size_t used; /* up to the last byte that is not zero */
};

static struct file files[FILES_MAX];
static size_t file_count;
static char root[64];
static char directory[80];
static char log_path[80];

static void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void die(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    exit(2);
}

/* xorshift64*: the same numbers from the same seed, everywhere. */
static uint64_t random_state;

static uint64_t random_next(void)
{
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545F4914F6CDD1Du;
}

static size_t random_below(size_t limit)
{
    return (size_t)(random_next() >> 11) % limit;
}

static void random_seed(uint64_t seed)
{
    random_state = (seed + 1) * 0x9E3779B97F4A7C15u;
    (void)random_next();
}

/* --- a store and calls, one at a time --- */

static uv_loop_t loop;
static struct store *store;

static int open_store(bool settles, struct store_opened *opened, struct store_failure *failure)
{
    struct store_options options;

    store_options_init(&options);
    options.directory = directory;
    options.segment_bytes = 1 << 20;
    options.map_bytes = 1 << 28;
    options.reserve_bytes = 0;
    options.settle_ms = settles ? 1 : 3600000;
    options.settle_bytes = settles ? 65536 : (uint64_t)1 << 40;
    if (uv_loop_init(&loop) != 0)
        die("no loop");
    return store_open(&store, &loop, &options, opened, failure);
}

static void on_closed(void *data)
{
    *(bool *)data = true;
}

static void close_store(void)
{
    bool closed = false;

    store_close(store, on_closed, &closed);
    uv_run(&loop, UV_RUN_DEFAULT);
    if (!closed)
        die("the store does not close");
}

static void chat_user(unsigned chat, char name[32])
{
    snprintf(name, 32, "user of chat %u", chat);
}

static void new_done(struct store_new *request)
{
    *(bool *)request->data = true;
}

/* Returns the status. */
static int call_new(unsigned chat, struct uuid *id)
{
    bool done = false;
    char user[32];
    char *users[] = {user};
    struct store_new request = {.data = &done, .done = new_done};
    int status;

    chat_user(chat, user);
    status = store_new(store, &request, "default", users, 1);
    while (status == 0 && !done)
        uv_run(&loop, UV_RUN_ONCE);
    *id = request.chat_id;
    return status != 0 ? status : request.status;
}

struct sending {
    struct store_send request;
    unsigned number;
    bool done;
    int status;
    bool duplicate;
    struct truth message;
};

static void send_done(struct store_send *request)
{
    struct sending *sending = request->data;

    sending->done = true;
    sending->status = request->status;
    sending->duplicate = request->duplicate;
    if (request->status != STORE_OK)
        return;
    sending->message.seq = request->seq;
    sending->message.size = (uint32_t)request->message_size;
    if (request->message_size <= sizeof sending->message.bytes)
        memcpy(sending->message.bytes, request->message, request->message_size);
}

/* Message `number` is the same whenever it is sent. */
static void begin_send(struct sending *sending, unsigned number)
{
    unsigned chat = number % CHATS;
    char client_id[32];
    char text[TEXT_BYTES_MAX + 1];
    size_t size = number % 7 == 0 ? TEXT_BYTES_MAX - number : 10 + number * 37 % 2500;
    struct store_send_input input = {.namespace_name = "default",
                                     .chat_id = shared->chats[chat],
                                     .user_id = "ann",
                                     .client_id = client_id,
                                     .subject = number % 3 == 0 ? "subject" : "",
                                     .text = text};
    int status;

    snprintf(client_id, sizeof client_id, "client id %u", number);
    for (size_t i = 0; i < size; i++)
        text[i] = (char)('a' + (i * 7 + number) % 26);
    text[size] = '\0';
    *sending = (struct sending){.number = number};
    sending->message.chat = chat;
    sending->request = (struct store_send){.data = sending, .done = send_done};
    status = store_send(store, &sending->request, &input);
    if (status != 0) {
        sending->status = status;
        sending->done = true;
    }
}

static void end_send(struct sending *sending)
{
    while (!sending->done)
        uv_run(&loop, UV_RUN_ONCE);
}

/* --- making the store --- */

static void send_wave(unsigned first)
{
    static struct sending wave[WAVE];

    for (unsigned i = 0; i < WAVE; i++)
        begin_send(&wave[i], first + i);
    for (unsigned i = 0; i < WAVE; i++) {
        end_send(&wave[i]);
        if (wave[i].status != STORE_OK || wave[i].duplicate)
            die("message %u: %s", first + i, store_status_text(wave[i].status));
        shared->messages[first + i] = wave[i].message;
        shared->heads[wave[i].message.chat] = wave[i].message.seq;
    }
}

static void make_part(bool settles, unsigned first, unsigned end)
{
    struct store_failure failure = {0};
    struct store_opened opened;

    if (open_store(settles, &opened, &failure) != 0)
        die("cannot open: %s", failure.detail);
    for (unsigned i = 0; settles && i < CHATS; i++)
        if (call_new(i, &shared->chats[i]) != STORE_OK)
            die("no chat");
    for (unsigned number = first; number < end; number += WAVE)
        send_wave(number);
    /* The second part ends as by a kill: settling nothing. */
    if (!settles)
        _exit(0);
    close_store();
}

static int wait_for(pid_t child)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0)
        if (errno != EINTR)
            die("waitpid: %s", strerror(errno));
    return status;
}

static void make_store(void)
{
    pid_t child = fork();

    if (child == 0) {
        log_set_level(LOG_LEVEL_ERROR);
        make_part(true, 0, SETTLED);
        make_part(false, SETTLED, MESSAGES);
    }
    if (child < 0 || wait_for(child) != 0)
        die("the store could not be made");
}

/* --- its files --- */

static void load_file(const char *name)
{
    struct file *file = &files[file_count];
    char path[PATH_BYTES];
    struct stat status;
    int descriptor;

    if (file_count == FILES_MAX)
        die("more files than expected");
    snprintf(path, sizeof path, "%s/%s", directory, name);
    descriptor = open(path, O_RDONLY);
    if (descriptor < 0 || fstat(descriptor, &status) != 0)
        die("%s: %s", path, strerror(errno));
    snprintf(file->name, sizeof file->name, "%s", name);
    file->size = (size_t)status.st_size;
    file->bytes = malloc(file->size + 1);
    if (file->bytes == NULL || read(descriptor, file->bytes, file->size) != status.st_size)
        die("cannot read %s", path);
    close(descriptor);
    for (file->used = file->size; file->used > 0 && file->bytes[file->used - 1] == 0;)
        file->used--;
    file_count++;
}

static void load_files(void)
{
    char path[PATH_BYTES];
    struct dirent *entry;
    DIR *journal;

    load_file("chats.mdb");
    load_file("chats.mdb-lock");
    snprintf(path, sizeof path, "%s/journal", directory);
    journal = opendir(path);
    while (journal != NULL && (entry = readdir(journal)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "journal/%.50s", entry->d_name);
        load_file(path);
    }
    if (journal == NULL)
        die("there is no journal");
    closedir(journal);
}

static void remove_journal(void)
{
    char path[PATH_BYTES];
    struct dirent *entry;
    DIR *journal;

    snprintf(path, sizeof path, "%s/journal", directory);
    journal = opendir(path);
    while (journal != NULL && (entry = readdir(journal)) != NULL) {
        snprintf(path, sizeof path, "%s/journal/%s", directory, entry->d_name);
        unlink(path);
    }
    if (journal != NULL)
        closedir(journal);
}

static void lay_out(void)
{
    char path[PATH_BYTES];

    remove_journal();
    for (size_t i = 0; i < file_count; i++) {
        int descriptor;

        snprintf(path, sizeof path, "%s/%s", directory, files[i].name);
        descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        if (descriptor < 0 ||
            write(descriptor, files[i].bytes, files[i].size) != (ssize_t)files[i].size)
            die("cannot write %s: %s", path, strerror(errno));
        close(descriptor);
    }
}

/* --- damaging --- */

struct damage {
    const struct file *file;
    const char *kind;
    size_t offset;
    size_t size; /* of the file afterwards */
    uint8_t bytes[512];
    size_t count; /* of those, that replace what is at `offset` */
};

/* Where something is, mostly; seldom in the zeros behind it. */
static size_t random_place(const struct file *file)
{
    size_t used = file->used > 0 && random_below(20) > 0 ? file->used : file->size;

    return random_below(used > 0 ? used : 1);
}

static void choose_bytes(struct damage *damage)
{
    const struct file *file = damage->file;
    size_t dice = random_below(10);

    damage->offset = random_place(file);
    if (dice < 7) {
        damage->kind = "bit flipped";
        damage->count = 1;
        damage->bytes[0] = file->bytes[damage->offset] ^ (uint8_t)(1u << random_below(8));
        return;
    }
    damage->kind = dice < 9 ? "random bytes" : "a sector of zeros";
    if (dice == 9)
        damage->offset -= damage->offset % sizeof damage->bytes;
    damage->count = dice == 9 ? sizeof damage->bytes : 1 + random_below(8);
    if (damage->count > file->size - damage->offset)
        damage->count = file->size - damage->offset;
    for (size_t i = 0; dice < 9 && i < damage->count; i++)
        damage->bytes[i] = (uint8_t)random_next();
}

static void choose_damage(struct damage *damage)
{
    size_t dice = random_below(20);
    size_t which = dice < 9 ? 0 : dice == 9 ? 1 : 2 + random_below(file_count - 2);

    *damage = (struct damage){.file = &files[which], .size = files[which].size};
    if (random_below(8) > 0) {
        choose_bytes(damage);
        return;
    }
    damage->kind = "cut short";
    damage->offset = damage->size = random_place(damage->file);
}

static void do_damage(const struct damage *damage)
{
    char path[PATH_BYTES];
    int descriptor;

    snprintf(path, sizeof path, "%s/%s", directory, damage->file->name);
    descriptor = open(path, O_WRONLY);
    if (descriptor < 0 || ftruncate(descriptor, (off_t)damage->size) != 0 ||
        pwrite(descriptor, damage->bytes, damage->count, (off_t)damage->offset) !=
            (ssize_t)damage->count)
        die("cannot damage %s: %s", path, strerror(errno));
    close(descriptor);
}

/* Whether the journal and the database are still as the damage left them. */
static bool is_unchanged(const struct damage *damage, const struct file *file)
{
    static uint8_t found[32u << 20];
    uint8_t *expected = file->bytes;
    size_t size = damage->file == file ? damage->size : file->size;
    uint8_t kept[sizeof damage->bytes];
    char path[PATH_BYTES];
    int descriptor;
    bool same;

    if (strcmp(file->name, "chats.mdb-lock") == 0)
        return true;
    snprintf(path, sizeof path, "%s/%s", directory, file->name);
    descriptor = open(path, O_RDONLY);
    if (descriptor < 0 || size >= sizeof found)
        return false;
    if (damage->file == file) {
        memcpy(kept, expected + damage->offset, damage->count);
        memcpy(expected + damage->offset, damage->bytes, damage->count);
    }
    same = read(descriptor, found, sizeof found) == (ssize_t)size &&
           memcmp(found, expected, size) == 0;
    if (damage->file == file)
        memcpy(expected + damage->offset, kept, damage->count);
    close(descriptor);
    return same;
}

/* --- looking at what is left: in the trial's own process --- */

static bool refused_for_damage; /* at least one request */
static bool torn;

static void bad(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

static void bad(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(shared->detail, sizeof shared->detail, format, arguments);
    va_end(arguments);
    _exit(BAD);
}

/* A message of the last batch may be gone, if the store says that the journal's end was torn. */
static bool may_be_gone(unsigned chat, uint64_t seq)
{
    for (unsigned i = MESSAGES - WAVE; torn && i < MESSAGES; i++)
        if (shared->messages[i].chat == chat && shared->messages[i].seq == seq)
            return true;
    return false;
}

static const struct truth *truth_of(unsigned chat, uint64_t seq)
{
    for (unsigned i = 0; i < MESSAGES; i++)
        if (shared->messages[i].chat == chat && shared->messages[i].seq == seq)
            return &shared->messages[i];
    return NULL;
}

struct reading {
    bool done;
    int status;
    unsigned chat;
    uint64_t next;
    bool more;
};

static void history_done(struct store_history *request)
{
    struct reading *reading = request->data;
    struct message_view message = {0};

    reading->done = true;
    reading->status = request->status;
    if (request->status != STORE_OK)
        return;
    reading->more = request->more;
    for (; message_page_next(request->page, &message); reading->next++) {
        const struct truth *truth = truth_of(reading->chat, reading->next);

        if (truth == NULL || truth->size != message.size ||
            memcmp(truth->bytes, message.bytes, message.size) != 0)
            bad("History serves wrong bytes as seq %" PRIu64 " of chat %u", reading->next,
                reading->chat);
    }
}

/* One page from `from` on. Returns the status. */
static int read_page(struct reading *reading, uint32_t limit)
{
    struct store_history request = {.data = reading, .done = history_done};
    struct store_history_input input = {.namespace_name = "default",
                                        .chat_id = shared->chats[reading->chat],
                                        .from_seq = reading->next,
                                        .limit = limit,
                                        .budget_bytes = PAGE_BYTES};
    int status;

    reading->done = false;
    status = store_history(store, &request, &input);
    while (status == 0 && !reading->done)
        uv_run(&loop, UV_RUN_ONCE);
    return status != 0 ? status : reading->status;
}

/* What is not there must be refused for damage, or be torn off. */
static void read_chat(unsigned chat)
{
    struct reading reading = {.chat = chat, .next = 1, .more = true};

    while (reading.more) {
        int status = read_page(&reading, 1 + (uint32_t)random_below(200));

        if (status == STORE_CORRUPT) {
            refused_for_damage = true;
            /* Go on behind it: what is whole must be readable, or be refused as well. */
            if (++reading.next > shared->heads[chat])
                return;
        } else if (status != STORE_OK) {
            bad("History of chat %u: %s", chat, store_status_text(status));
        }
    }
    for (; reading.next <= shared->heads[chat]; reading.next++)
        if (!may_be_gone(chat, reading.next))
            bad("seq %" PRIu64 " of chat %u is gone without a word", reading.next, chat);
}

static void send_again(unsigned number)
{
    static struct sending sending;
    const struct truth *truth = &shared->messages[number];

    begin_send(&sending, number);
    end_send(&sending);
    if (sending.status == STORE_CORRUPT)
        refused_for_damage = true;
    else if (sending.status != STORE_OK)
        bad("message %u sent again: %s", number, store_status_text(sending.status));
    else if (!sending.duplicate && !may_be_gone(truth->chat, truth->seq))
        bad("message %u sent again is a second message", number);
    /* One that was torn off may have been sent anew before, in this trial. */
    else if (sending.duplicate && !may_be_gone(truth->chat, truth->seq) &&
             (sending.message.size != truth->size ||
              memcmp(sending.message.bytes, truth->bytes, truth->size) != 0))
        bad("message %u sent again has other bytes", number);
}

static void ask_again(unsigned chat)
{
    struct uuid id;
    int status = call_new(chat, &id);

    if (status == STORE_CORRUPT)
        refused_for_damage = true;
    else if (status != STORE_OK)
        bad("chat %u asked for again: %s", chat, store_status_text(status));
    else if (memcmp(&id, &shared->chats[chat], sizeof id) != 0)
        bad("chat %u has another id", chat);
}

static void look(void) __attribute__((noreturn));

static void look(void)
{
    struct store_failure failure = {0};
    struct store_opened opened;
    int log = open(log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600);

    if (log < 0 || dup2(log, STDERR_FILENO) < 0)
        die("%s: %s", log_path, strerror(errno));
    alarm(PATIENCE_S);
    if (open_store(false, &opened, &failure) != 0) {
        snprintf(shared->detail, sizeof shared->detail, "%s", failure.detail);
        _exit(failure.detail[0] != '\0' ? REFUSED : BAD);
    }
    torn = opened.torn_bytes > 0;
    for (unsigned chat = 0; chat < CHATS; chat++)
        read_chat(chat);
    for (unsigned i = 0; i < 20; i++)
        send_again((unsigned)random_below(MESSAGES));
    for (unsigned i = MESSAGES - WAVE; i < MESSAGES; i++)
        send_again(i);
    for (unsigned chat = 0; chat < CHATS; chat++)
        ask_again(chat);
    _exit(refused_for_damage ? NAMED : torn ? TORN : HARMLESS);
}

/* --- trials --- */

static bool log_says_something(char text[LOG_BYTES])
{
    int log = open(log_path, O_RDONLY);
    ssize_t size = log < 0 ? -1 : read(log, text, LOG_BYTES - 1);

    if (log >= 0)
        close(log);
    text[size > 0 ? size : 0] = '\0';
    return strstr(text, " level=error ") != NULL;
}

static enum outcome judge(int status, const struct damage *damage, char text[LOG_BYTES])
{
    bool named = log_says_something(text);
    int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;

    if (WIFSIGNALED(status))
        return WTERMSIG(status) == SIGALRM ? HUNG : CRASHED;
    if (code == 70)
        return named ? ENDED : BAD;
    if (code == NAMED && !named) {
        snprintf(shared->detail, sizeof shared->detail, "refused, and the log does not say where");
        return BAD;
    }
    for (size_t i = 0; code == REFUSED && i < file_count; i++)
        if (!is_unchanged(damage, &files[i]))
            return CHANGED;
    return code < OUTCOMES ? (enum outcome)code : BAD;
}

/* For whoever wants to look at it again. */
static void keep(unsigned trial, const struct damage *damage)
{
    const char *where = getenv("CHAT_DAMAGE_KEEP");
    char command[PATH_BYTES];

    if (where == NULL)
        return;
    lay_out();
    do_damage(damage);
    snprintf(command, sizeof command, "cp -r '%s' '%s/trial-%u'", directory, where, trial);
    if (system(command) != 0)
        die("cannot copy to %s", where);
}

static enum outcome try(uint64_t seed, unsigned trial)
{
    struct damage damage;
    char text[LOG_BYTES];
    enum outcome outcome;
    pid_t child;
    int status;

    random_seed(seed * 1000003 + trial);
    choose_damage(&damage);
    lay_out();
    do_damage(&damage);
    shared->detail[0] = '\0';
    child = fork();
    if (child == 0)
        look();
    if (child < 0)
        die("fork: %s", strerror(errno));
    status = wait_for(child);
    outcome = judge(status, &damage, text);
    if (outcome < BAD)
        return outcome;
    printf("trial %u: %s: %s at %zu of %zu: %s%s%s\n", trial, damage.file->name, damage.kind,
           damage.offset, damage.file->size, outcome_names[outcome],
           shared->detail[0] != '\0' ? ": " : "", shared->detail);
    if (WIFSIGNALED(status))
        printf("  signal %d (%s)\n", WTERMSIG(status), strsignal(WTERMSIG(status)));
    printf("%s", text);
    keep(trial, &damage);
    return outcome;
}

static void prepare(void)
{
    snprintf(root, sizeof root, "%s/chat-damage-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(root) == NULL)
        die("%s: %s", root, strerror(errno));
    snprintf(directory, sizeof directory, "%s/data", root);
    snprintf(log_path, sizeof log_path, "%s/log", root);
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("mmap: %s", strerror(errno));
}

static void clean_up(void)
{
    static const char *const names[] = {"chats.mdb", "chats.mdb-lock", "lock"};
    char path[PATH_BYTES];

    remove_journal();
    snprintf(path, sizeof path, "%s/journal", directory);
    rmdir(path);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, names[i]);
        unlink(path);
    }
    rmdir(directory);
    unlink(log_path);
    rmdir(root);
}

int main(int argc, char **argv)
{
    unsigned counts[OUTCOMES] = {0};
    unsigned trials = argc > 2 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
    uint64_t seed = argc > 2 ? strtoull(argv[2], NULL, 10) : 0;
    unsigned failed = 0;

    if (trials == 0)
        die("usage: damage TRIALS SEED");
    setlinebuf(stdout);
    prepare();
    make_store();
    load_files();
    for (unsigned trial = 0; trial < trials; trial++)
        counts[try(seed, trial)]++;
    for (unsigned i = 0; i < OUTCOMES; i++) {
        if (counts[i] > 0)
            printf("%u %s\n", counts[i], outcome_names[i]);
        failed += i >= BAD ? counts[i] : 0;
    }
    clean_up();
    return failed > 0;
}
