#!/bin/bash
# Runs a broker, the chat service and its gateway on loopback until Ctrl-C: what "make run" calls.
#
#   deploy/run-local.sh [folder of the programs, build/bin by default]
#
# Data and logs live in run/ beside the Makefile and stay there for the next time. The broker gets
# port 4222 and the gateway 8080, or one that the kernel picks when that is taken. Ctrl-C, SIGTERM
# and SIGHUP stop the gateway first, then chatd and then the broker, and end this with status 0. When
# one of them ends on its own, the others are stopped, its last log lines are shown, and the status
# is 1.
set -uo pipefail

# Debian keeps nats-server where only root's PATH looks.
PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1
bin=${1:-build/bin}
broker_pid=
chatd_pid=
gateway_pid=
nats_url=
gateway_url=

fail() {
    echo "make run: $*" >&2
    exit 1
}

# Each child has a session of its own, so that Ctrl-C at the terminal reaches this script alone
# and the order of stopping is ours. It is told to stop, too, when this script is killed outright.
start() {
    local log=$1
    shift
    exec setsid setpriv --pdeathsig TERM "$@" >>"$log" 2>&1 </dev/null 9>&-
}

alive() {
    [[ -n $1 ]] && kill -0 "$1" 2>/dev/null
}

# Asks a child to stop and waits for it, up to half a minute.
stop() {
    local name=$1 pid=$2 tenths
    alive "$pid" || return 0
    kill -TERM "$pid" 2>/dev/null
    for ((tenths = 0; tenths < 300; tenths++)); do
        alive "$pid" || return 0
        sleep 0.1
    done
    echo "make run: $name (process $pid) did not stop within 30 s; killing it" >&2
    kill -KILL "$pid" 2>/dev/null
}

stop_all() {
    trap '' INT TERM HUP
    stop chat-gateway "$gateway_pid"
    stop chatd "$chatd_pid"
    stop nats-server "$broker_pid"
}

# A second Ctrl-C does not cut the stopping short: stop_all ignores it.
interrupted() {
    echo
    echo "Stopping."
    stop_all
    exit 0
}

# Waits until a line of the log matches; fails when the child ends before.
wait_for() {
    local pattern=$1 log=$2 pid=$3
    until grep -qE "$pattern" "$log"; do
        alive "$pid" || return 1
        sleep 0.05
    done
}

# The set of signals that the make above us handles. A make that gets SIGINT or SIGHUP alone, not
# from a terminal, gives up its handler and then waits for its recipes without telling them; this
# is how to learn of it. Empty when make is gone, or when this was not started by make.
handlers_of_make() {
    [[ -n ${MAKELEVEL:-} ]] || return 0
    sed -n 's/^SigCgt:[[:space:]]*//p' "/proc/$PPID/status" 2>/dev/null
}

# A broker on the given port (-1: the kernel picks one) that is ready for clients; sets nats_url.
start_broker() {
    local port
    : >run/nats-server.log
    start run/nats-server.log nats-server --addr 127.0.0.1 --port "$1" &
    broker_pid=$!
    wait_for 'Server is ready' run/nats-server.log $broker_pid || return 1
    port=$(sed -n 's/.*Listening for client connections on .*:\([0-9]*\)$/\1/p' run/nats-server.log)
    nats_url="nats://127.0.0.1:$port"
}

start_chatd() {
    : >run/chatd.log
    start run/chatd.log "$bin/chatd" --nats-url "$nats_url" --data-dir run/data &
    chatd_pid=$!
    wait_for '(^| )event=ready( |$)' run/chatd.log $chatd_pid
}

# The gateway on the given port (0: the kernel picks one); sets gateway_url.
start_gateway() {
    : >run/chat-gateway.log
    start run/chat-gateway.log "$bin/chat-gateway" --nats-url "$nats_url" --listen "127.0.0.1:$1" &
    gateway_pid=$!
    wait_for '(^| )event=ready( |$)' run/chat-gateway.log $gateway_pid || return 1
    gateway_url="http://127.0.0.1:$(sed -n 's/.* event=ready port=\([0-9]*\).*/\1/p' run/chat-gateway.log)"
}

# Called when a child is gone: says which, what it said last, and leaves.
report_death() {
    local name=chatd pid=$chatd_pid status
    if ! alive "$broker_pid"; then
        name=nats-server
        pid=$broker_pid
    elif alive "$chatd_pid"; then
        name=chat-gateway
        pid=$gateway_pid
    fi
    wait "$pid"
    status=$?
    echo "make run: $name ended with status $status; the last lines of run/$name.log:" >&2
    tail -n 20 "run/$name.log" >&2
    stop_all
    exit 1
}

show_how_to_try() {
    cat <<EOF

The chat service is running on $nats_url, and for browsers and HTTP on $gateway_url

Open $gateway_url/ in a browser, or try it from another terminal:

  curl -X POST $gateway_url/chat/New -d '{"user_ids":["John","Barry"]}'
  curl -X POST $gateway_url/chat/Send \\
    -d '{"chat_id":"'\$ID'","user_id":"John","client_id":"c1","subject":"Hello","text":"Hey Barry"}'
  curl "$gateway_url/chat/History?chat_id=\$ID"
  curl -N "$gateway_url/chat/Events?chat_id=\$ID&from_seq=1"

with ID set to the chat_id that the first one shows. Or by NATS, in this folder:

  ID=\$($bin/chat new --nats-url=$nats_url --user_ids=John,Barry | grep -oE '[0-9a-f-]{36}'); echo \$ID
  $bin/chat send --nats-url=$nats_url --chat_id=\$ID --user_id=John --subject=Hello --text='Hey Barry'
  $bin/chat history --nats-url=$nats_url --chat_id=\$ID

Data is in run/data, logs are in run/*.log. Ctrl-C stops it.
EOF
}

mkdir -p run || exit 1
exec 9>>run/lock
flock -n 9 || fail "already running in this folder (run/lock is held); stop that one first."

trap interrupted INT TERM HUP
# The broker here asks for no credentials and no TLS, whatever another one wants; and "ready" is
# told at level info.
unset CHAT_USER CHAT_PASSWORD CHAT_TOKEN CHAT_NKEY_SEED CHAT_CREDENTIALS CHAT_INBOX_PREFIX \
    CHAT_TLS_CA CHAT_TLS_CERT CHAT_TLS_KEY CHAT_LISTEN CHAT_LISTEN_TLS_CERT CHAT_LISTEN_TLS_KEY \
    CHAT_AUTH CHAT_AUTH_TOKENS CHAT_AUTH_JWT_KEY CHAT_AUTH_JWT_ALG CHAT_AUTH_JWT_ISSUER \
    CHAT_AUTH_JWT_AUDIENCE
[[ ${CHAT_LOG_LEVEL:-} == debug ]] || unset CHAT_LOG_LEVEL

make_handlers=$(handlers_of_make)
start_broker 4222 || start_broker -1 || report_death
start_chatd || report_death
start_gateway 8080 || start_gateway 0 || report_death
show_how_to_try

# Once a second a look at make; the end of a child is seen at once.
while alive "$broker_pid" && alive "$chatd_pid" && alive "$gateway_pid"; do
    [[ $(handlers_of_make) == "$make_handlers" ]] || interrupted
    sleep 1 9>&- &
    wait -n "$broker_pid" "$chatd_pid" "$gateway_pid" $!
done
report_death
