#!/bin/bash
# Runs what one would use instead beside chatd, on this machine and in the same run, and prints one
# table: messages per second that were durable before they were acknowledged.
#
#   clients/bench/alternatives.sh [--seconds N] [--rounds N] [--outstanding "1 16 1024"] [--raw]
#                                 [SYSTEM...]
#
# Systems: chatd redis redis-pipelined postgresql jetstream jetstream-synced responder; all of them
# by default. The responder does nothing but answer, behind a NATS server as chatd: it is the limit.
# --raw prints "system outstanding rate" lines instead of the table.
#
# All do the same work as nearly as they can: records of 250 bytes, 10,000 chats chosen evenly, an
# id assigned by the server, on disk before the answer. What is missing (Redis and JetStream look
# for no earlier use of a client id here) is in their favour. JetStream alone, as it comes, does not
# sync before it answers; it is shown for what that is worth.
#
# Everything listens on loopback or a socket in a temporary directory (CHAT_BENCH_DIRECTORY, or
# build/), on free ports, and is stopped and removed at the end. CHAT_BIN is where the programs are.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.." || exit 1
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"

seconds=5
rounds=3
outstanding="1 16 1024"
raw=false
systems=()
while [[ $# -gt 0 ]]; do
    case $1 in
    --seconds) seconds=$2 && shift ;;
    --rounds) rounds=$2 && shift ;;
    --outstanding) outstanding=$2 && shift ;;
    --raw) raw=true ;;
    chatd | redis | redis-pipelined | postgresql | jetstream | jetstream-synced | responder) systems+=("$1") ;;
    *)
        sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "${BASH_SOURCE[0]}" >&2
        exit 2
        ;;
    esac
    shift
done
[[ ${#systems[@]} -gt 0 ]] || systems=(chatd redis redis-pipelined postgresql jetstream jetstream-synced responder)

bin=${CHAT_BIN:-build/bin}
record_bytes=250
# A Send request has 86 bytes besides its text.
text_bytes=164
chats=10000
postgresql_clients_max=64
pids=()
declare -A port version how rates

fail() {
    echo "alternatives: $*" >&2
    exit 1
}

say() {
    echo "alternatives: $*" >&2
}

# ---- What it takes ----

as_root() {
    if [[ $(id -u) == 0 ]]; then "$@"; else sudo "$@"; fi
}

postgresql_bin() {
    local programs
    programs=$(compgen -G '/usr/lib/postgresql/*/bin' | sort -V | tail -n 1)
    [[ -x $programs/postgres ]] && echo "$programs"
}

missing_packages() {
    local system
    for system in "${systems[@]}"; do
        case $system in
        redis*) command -v redis-server redis-benchmark >/dev/null || echo redis-server ;;
        postgresql) [[ -n $(postgresql_bin) ]] || echo postgresql ;;
        *) command -v nats-server >/dev/null || echo nats-server ;;
        esac
    done | sort -u
}

# Debian's packages would start their services, now and after each boot; nobody asked for that.
install_missing() {
    local packages units=(redis-server.service postgresql.service nats-server.service) status=0
    mapfile -t packages < <(missing_packages)
    [[ ${#packages[@]} -gt 0 ]] || return 0
    say "installing ${packages[*]}"
    [[ ! -d /run/systemd/system ]] || as_root systemctl mask --runtime --quiet "${units[@]}"
    as_root apt-get update -q >&2 || status=$?
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -o Dpkg::Use-Pty=0 install -y -q \
        --no-install-recommends "${packages[@]}" >&2 || status=$?
    if [[ -d /run/systemd/system ]]; then
        as_root systemctl unmask --runtime --quiet "${units[@]}"
        as_root systemctl disable --quiet "${units[@]}" 2>/dev/null
    fi
    [[ $status == 0 ]] || fail "apt-get could not install ${packages[*]}"
}

# ---- Processes ----

is_open() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

free_port() {
    local candidate
    while :; do
        candidate=$((20000 + RANDOM % 10000))
        is_open "$candidate" || break
    done
    echo "$candidate"
}

wait_for_port() {
    local tries
    for ((tries = 0; tries < 200; tries++)); do
        is_open "$1" && return
        sleep 0.05
    done
    fail "nothing listens on port $1; see $directory"
}

# Ends what was started here, in the reverse order, and nothing else.
stop_all() {
    local i
    for ((i = ${#pids[@]} - 1; i >= 0; i--)); do
        kill "${pids[i]}" 2>/dev/null && wait "${pids[i]}" 2>/dev/null
    done
    rm -rf "$directory"
}

start() {
    local name=$1
    shift
    "$@" >"$directory/$name.log" 2>&1 &
    pids+=($!)
}

# As root, PostgreSQL refuses to run. (No function: what is started must be the process itself.)
as_postgres=()
[[ $(id -u) != 0 ]] || as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups --)

# ---- chatd ----

start_chatd() {
    local tries
    [[ -z ${port[chatd]:-} ]] || return 0
    port[chatd]=$(free_port)
    start broker nats-server -a 127.0.0.1 -p "${port[chatd]}"
    wait_for_port "${port[chatd]}"
    start chatd "$bin/chatd" --nats-url "nats://127.0.0.1:${port[chatd]}" --data-dir "$directory/chatd"
    for ((tries = 0; tries < 200; tries++)); do
        grep -q event=ready "$directory/chatd.log" 2>/dev/null && break
        sleep 0.05
    done
    version[chatd]="$("$bin/chatd" --version | awk '{ print $2 }'), nats-server $(nats_version)"
    how[chatd]="chat-bench send --outstanding=N --text-bytes=$text_bytes --chats=$chats"
}

rate_of() {
    sed -nE 's/^ *"throughput_per_second": ([0-9]+).*/\1/p' | head -n 1
}

run_chatd() {
    "$bin/chat-bench" send --nats-url "nats://127.0.0.1:${port[chatd]}" --outstanding "$1" \
        --text-bytes $text_bytes --chats $chats --duration-ms $((seconds * 1000)) --json | rate_of
}

# It answers beside chatd, and as long; the two are asked in turn once more.
start_responder() {
    start_chatd
    version[responder]=${version[chatd]}
    how[responder]="chat-bench compare send, the same load as chatd: answers at once, keeps nothing"
}

run_responder() {
    "$bin/chat-bench" compare send --nats-url "nats://127.0.0.1:${port[chatd]}" --outstanding "$1" \
        --text-bytes $text_bytes --chats $chats --duration-ms $((seconds * 1000)) --pairs 1 --json |
        sed -nE '/^ *"responder": \{/,/\}/s/^ *"throughput": ([0-9]+).*/\1/p' | tail -n 1
}

# ---- Redis ----

# One server serves both ways of asking it.
start_redis() {
    local name
    [[ -z ${port[redis]:-} ]] || return 0
    port[redis]=$(free_port)
    mkdir "$directory/redis"
    start redis redis-server --bind 127.0.0.1 --port "${port[redis]}" --dir "$directory/redis" \
        --save '' --appendonly yes --appendfsync always --auto-aof-rewrite-percentage 0
    wait_for_port "${port[redis]}"
    for name in redis redis-pipelined; do
        version[$name]=$(redis-server --version | sed -E 's/.* v=([^ ]+).*/\1/')
    done
    how[redis]="redis-benchmark -c N -r $chats XADD chat:__rand_int__ '*' m <$record_bytes bytes>, appendfsync always"
    how[redis-pipelined]="the same with -c N/16 -P 16"
}

start_redis-pipelined() {
    start_redis
}

redis_rate() {
    local count=$1 data
    shift
    data=$(printf 'x%.0s' $(seq $record_bytes))
    redis-benchmark -h 127.0.0.1 -p "${port[redis]}" -n "$count" "$@" -r $chats --csv \
        XADD chat:__rand_int__ '*' m "$data" 2>/dev/null | sed -nE 's/^"XADD[^,]*","([0-9]+).*/\1/p'
}

# A short run says how many requests fill the time.
redis_timed() {
    local rate
    rate=$(redis_rate 2000 "$@")
    redis_rate $((${rate:-1000} * seconds)) "$@"
}

run_redis() {
    redis_timed -c "$1"
}

run_redis-pipelined() {
    if (($1 < 16)); then redis_timed -c 1 -P "$1"; else redis_timed -c $(($1 / 16)) -P 16; fi
}

# ---- PostgreSQL ----

start_postgresql() {
    local programs
    programs=$(postgresql_bin)
    port[postgresql]=$(free_port)
    mkdir "$directory/postgresql"
    [[ $(id -u) != 0 ]] || chown postgres "$directory/postgresql"
    (cd / && "${as_postgres[@]}" "$programs/initdb" -D "$directory/postgresql/data" -A trust -U bench) \
        >"$directory/initdb.log" 2>&1 || fail "initdb: $(tail -n 1 "$directory/initdb.log")"
    start postgresql "${as_postgres[@]}" "$programs/postgres" -D "$directory/postgresql/data" \
        -c listen_addresses=127.0.0.1 -p "${port[postgresql]}" \
        -c unix_socket_directories="$directory/postgresql"
    wait_for_port "${port[postgresql]}"
    until psql_here -c 'select 1' >/dev/null 2>&1; do sleep 0.05; done
    psql_here -q -c 'CREATE TABLE messages (id bigserial PRIMARY KEY, chat int NOT NULL,
        client_id uuid NOT NULL, body text NOT NULL, UNIQUE (chat, client_id))' ||
        fail "no table in PostgreSQL"
    cat >"$directory/insert.sql" <<SQL
\\set chat random(1, $chats)
INSERT INTO messages (chat, client_id, body)
VALUES (:chat, gen_random_uuid(), '$(printf 'x%.0s' $(seq $((record_bytes - 20))))') RETURNING id;
SQL
    version[postgresql]=$("$programs/postgres" --version | awk '{ print $3 }')
    how[postgresql]="pgbench -M prepared -c N (at most $postgresql_clients_max), INSERT … UNIQUE (chat, client_id) RETURNING id"
}

psql_here() {
    psql -h 127.0.0.1 -p "${port[postgresql]}" -U bench -d postgres "$@"
}

run_postgresql() {
    local clients=$1
    ((clients <= postgresql_clients_max)) || clients=$postgresql_clients_max
    "$(postgresql_bin)/pgbench" -h 127.0.0.1 -p "${port[postgresql]}" -U bench -n -M prepared \
        -c "$clients" -j 2 -T "$seconds" -f "$directory/insert.sql" postgres 2>/dev/null |
        sed -nE 's/^tps = ([0-9]+).*/\1/p'
}

# ---- JetStream ----

nats_version() {
    nats-server --version | sed -E 's/.*v([0-9.]+).*/\1/'
}

# Arguments: the system's name, and a line for the "jetstream" block.
start_stream() {
    local name=$1
    port[$name]=$(free_port)
    mkdir -p "$directory/$name"
    cat >"$directory/$name.conf" <<CONF
host: 127.0.0.1
port: ${port[$name]}
jetstream { store_dir: "$directory/$name"
$2
}
CONF
    start "$name" nats-server -c "$directory/$name.conf"
    wait_for_port "${port[$name]}"
    version[$name]=$(nats_version)
}

start_jetstream() {
    start_stream jetstream ''
    how[jetstream]="chat-bench jetstream --outstanding=N; default sync: acknowledged before it is on disk"
}

# nats-server 2.10 can sync each message itself. Older ones get a directory whose files the kernel
# writes synchronously, which comes to the same.
start_jetstream-synced() {
    local name=jetstream-synced probe=$directory/probe.conf
    echo 'jetstream { sync_interval: always }' >"$probe"
    if nats-server -t -c "$probe" >/dev/null 2>&1; then
        start_stream $name 'sync_interval: always'
        how[$name]="the same with sync_interval: always"
    elif mkdir "$directory/$name" && as_root chattr +S "$directory/$name" 2>/dev/null; then
        start_stream $name ''
        how[$name]="the same, its files written synchronously (chattr +S)"
    else
        fail "$name needs nats-server 2.10, or a file system that knows chattr +S"
    fi
}

run_stream() {
    "$bin/chat-bench" jetstream --nats-url "nats://127.0.0.1:${port[$1]}" --outstanding "$2" \
        --text-bytes $text_bytes --chats $chats --duration-ms $((seconds * 1000)) --json | rate_of
}

run_jetstream() {
    run_stream jetstream "$1"
}

run_jetstream-synced() {
    run_stream jetstream-synced "$1"
}

# ---- All of it ----

median() {
    printf '%s\n' "$@" | sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'
}

print_table() {
    local n system
    printf '| system | version |'
    for n in $outstanding; do printf ' %s |' "$n"; done
    printf ' how |\n|---|---|'
    for n in $outstanding; do printf -- '--:|'; done
    printf -- '---|\n'
    for system in "${systems[@]}"; do
        printf '| %s | %s |' "$system" "${version[$system]}"
        # shellcheck disable=SC2086 # several rates
        for n in $outstanding; do printf ' %s |' "$(median ${rates[$system $n]})"; done
        # shellcheck disable=SC2016 # the quotes are the table's
        printf ' `%s` |\n' "${how[$system]}"
    done
    printf '\nMessages per second with so many requests outstanding; medians of %s rounds of %s s. %s, %s cores, %s.\n' \
        "$rounds" "$seconds" "$(. /etc/os-release && echo "$PRETTY_NAME")" "$(nproc)" "$(uname -r)"
}

[[ -x $bin/chat-bench && -x $bin/chatd ]] || fail "no chat-bench in $bin: run make first"
install_missing
mkdir -p "${CHAT_BENCH_DIRECTORY:-build}" || exit 1
directory=$(mktemp -d "$(realpath "${CHAT_BENCH_DIRECTORY:-build}")/alternatives-XXXXXX")
chmod 755 "$directory"
trap stop_all EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP
for system in "${systems[@]}"; do "start_$system"; done
for ((round = 1; round <= rounds; round++)); do
    for n in $outstanding; do
        for system in "${systems[@]}"; do
            rate=$("run_$system" "$n")
            say "round $round, $n outstanding, $system: ${rate:-failed}"
            rates[$system $n]+=" ${rate:-0}"
            sleep 1
        done
    done
done
if $raw; then
    # shellcheck disable=SC2086 # several rates
    for system in "${systems[@]}"; do
        for n in $outstanding; do echo "$system $n $(median ${rates[$system $n]})"; done
    done
else
    print_table
fi
