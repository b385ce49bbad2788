#!/bin/bash
# Servers that fork for each connection take an update as trees, with --tree, while clients come and go and sessions last:
# postgres, in a library that it uses (libxml2 deb12u4 -> deb12u6), and sshd (deb12u9 -> deb12u10), whose sessions execute it anew.
# shellcheck source=demo/servers.sh
. "$(dirname "$0")/../../demo/servers.sh"
# shellcheck source=tests/postgres.sh
. "$top/tests/postgres.sh"
# shellcheck source=tests/trees.sh
. "$top/tests/trees.sh"
# shellcheck disable=SC2154 # from servers.sh
plan 20

skip_rest() {	# WHAT LAST-RESULT WHY
	while [ "$results" -lt "$2" ]; do
		skip "$1" "$3"
	done
}

query="select xpath('/a/b[2]/text()', ('<a>' || repeat('<b>x</b>', 20) || '<b c=\"d\">y</b></a>')::xml)"

# A new connection, and so a new process, for each.
ask_postgres() {
	[ "$(psql -A -t -c "$query")" = "{x}" ]
}

come_and_go() {
	while [ ! -e "$scratch/enough" ]; do
		ask_postgres && echo >>"$scratch/answers" || echo "no answer" >>"$scratch/no-answers"
	done
}

# Sessions that parse all the time.
parse() {
	psql -c "do \$\$ begin for i in 1..100000000 loop perform (xpath('/a/b', '<a><b>x</b></a>'::xml))[1]; end loop; end \$\$"
}

# Of those that are still there and have that name.
texts_are_files() {	# SUFFIX COMM PID...
	local suffix=$1 comm=$2 pid
	shift 2
	for pid; do
		ended "$pid" || ! grep -q "$comm" "/proc/$pid/comm" || text_equals_file "$pid" "$suffix" || return 1
	done
}

more_answers() {
	local before
	before=$(wc -l <"$scratch/answers")
	within 20 has_answers $((before + 3))
}

has_answers() {	# COUNT
	[ "$(wc -l <"$scratch/answers")" -ge "$1" ]
}

postgres_takes_it() {
	local old=libxml2=2.9.14+dfsg-1.3~deb12u4 new=libxml2=2.9.14+dfsg-1.3~deb12u6 library=usr/lib/x86_64-linux-gnu/libxml2.so.2 client busy before
	fetch_packages postgresql-15 postgresql-client-15 $old $new || { skip_rest postgres 10 "$reason"; return; }
	check "diff of libxml2" limit 60 "$stent" diff "${folders[2]}/$library" "${folders[3]}/$library" -o "$scratch/xml.stent" --name xml
	# Where another user can read it, as the rest of the server.
	mkdir "$scratch/xml" && cp "${folders[2]}/$library" "$scratch/xml/"
	postgres_libraries=$scratch/xml
	start_postgres "${folders[0]}" "${folders[1]}" >"$scratch/output" 2>&1 && ask_postgres
	verdict $? "postgres starts, and parses"
	: >"$scratch/answers"
	start parse >"$scratch/parse" 2>&1
	busy=$started
	start come_and_go
	client=$started
	sleep 1
	mapfile -t before < <(descendants "$server")
	check "apply --tree while it parses and connections come and go" limit 90 "$stent" apply "$scratch/xml.stent" -p "$server" --tree
	check "the postmaster and all others have the patch" tree_is "$server" xml active postgres 6
	check "it parses" more_answers
	check "revert --tree" limit 90 "$stent" revert xml -p "$server" --tree
	check "the postmaster and all others are without it" tree_is "$server" xml reverted postgres 6
	check "it parses still" more_answers
	check "the text of all that were there before is the file's again" texts_are_files /libxml2.so.2 postgres "${before[@]}"
	touch "$scratch/enough"
	wait "$client"
	ended "$busy"
	check "no connection failed, and the session that parses all the time goes on" [ $? = 1 -a ! -e "$scratch/no-answers" ]
	kill -INT "$server"
}

in_session() {	# COMMAND
	ssh -F none -n -i "$scratch/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes \
		-o ConnectTimeout=10 -p "$port" root@127.0.0.1 "$@"
}

# A session echoes what it is sent; it runs in a process of its own.
hold_session() {
	ssh -F none -i "$scratch/key" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR -o BatchMode=yes \
		-p "$port" root@127.0.0.1 cat <"$scratch/session.in" >"$scratch/session.out" 2>"$scratch/session.err"
}

session_echoes() {	# WORD
	echo "$1" >&"$session"
	within 5 grep -qx "$1" "$scratch/session.out"
}

logs_in() {
	[ "$(in_session echo hello)" = hello ]
}

start_sshd() {	# PROGRAM
	find_port
	ssh-keygen -q -t ed25519 -N '' -f "$scratch/host" && ssh-keygen -q -t ed25519 -N '' -f "$scratch/key" && mkdir -p /run/sshd || return 1
	printf '%s\n' "Port $port" "ListenAddress 127.0.0.1" "HostKey $scratch/host" "AuthorizedKeysFile $scratch/key.pub" "StrictModes no" \
		"PermitRootLogin yes" "UsePAM no" "PidFile none" >"$scratch/sshd_config"
	{ grep -v ^sshd: /etc/passwd && echo "sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin"; } >"$scratch/passwd"
	# root's password may be locked, which would keep keys out, too.
	printf '%s\n' "root:*:19000:0:99999:7:::" "sshd:*:19000:0:99999:7:::" >"$scratch/shadow"
	chmod 644 "$scratch/passwd"
	# shellcheck disable=SC2016 # for sh
	start quiet "$scratch/sshd" unshare --mount sh -c 'mount --bind "$1" /etc/passwd && mount --bind "$2" /etc/shadow && shift 2 && exec "$@"' \
		sh "$scratch/passwd" "$scratch/shadow" env "LD_LIBRARY_PATH=$libraries" "$1" -D -e -f "$scratch/sshd_config"
	server=$started
	within 10 listens "$port"
}

sshd_takes_it() {
	local processes
	fetch_packages openssh-server=1:9.2p1-2+deb12u9 openssh-server=1:9.2p1-2+deb12u10 || { skip_rest sshd 20 "$reason"; return; }
	[ "$(id -u)" = 0 ] && unshare --mount true 2>/dev/null || { skip_rest sshd 20 "it takes root, and a mount namespace, to start it"; return; }
	check "diff of sshd" limit 60 "$stent" diff "${folders[0]}/usr/sbin/sshd" "${folders[1]}/usr/sbin/sshd" -o "$scratch/sshd.stent" --name sshd
	start_sshd "${folders[0]}/usr/sbin/sshd" && within 10 logs_in
	verdict $? "sshd starts, and lets in" || diag "$(cat "$scratch/sshd")"
	mkfifo "$scratch/session.in"
	start hold_session
	exec {session}>"$scratch/session.in"
	check "a session" session_echoes before
	check "apply --tree" limit 90 "$stent" apply "$scratch/sshd.stent" -p "$server" --tree
	check "the listener and the session's process have the patch" tree_is "$server" sshd active sshd 2
	check "the session goes on, and another one begins" session_goes_on after
	# A new session's process has executed sshd anew: the old file, without the patch.
	check "revert --tree" limit 90 "$stent" revert sshd -p "$server" --tree
	check "the listener and the session's process are without it" tree_is "$server" sshd reverted sshd 2
	check "the session goes on, and another one begins again" session_goes_on reverted
	mapfile -t processes < <(descendants "$server")
	check "the text of the processes is the file's again" texts_are_files /sshd sshd "${processes[@]}"
	exec {session}>&-
	kill "$server"
}

session_goes_on() {	# WORD
	session_echoes "$1" && logs_in
}

postgres_takes_it
sshd_takes_it
exit "$((failures > 0))"
