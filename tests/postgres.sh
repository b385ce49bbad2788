# postgres.sh: a PostgreSQL server of the packages. To be sourced, on top of demo/servers.sh.
# shellcheck shell=bash
# shellcheck disable=SC2154 # from servers.sh

# The server refuses to run as root, and finds its files by where its program is: so it is copied to where another user
# can read it.
as_nobody() {
	if [ "$(id -u)" = 0 ]; then
		exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"
	else
		exec "$@"
	fi
}

# Folders of libraries are copied, too: that of this tree may be in one that other users can't enter.
copy_libraries() {
	local folders folder
	mkdir -p "$scratch/libraries"
	IFS=: read -ra folders <<<"$libraries"
	for folder in "${folders[@]}"; do
		[ ! -d "$folder" ] || cp -r "$folder/." "$scratch/libraries/"
	done
}

# Starts it and sets $server. $postgres_libraries come before other folders of libraries, if it is set.
start_postgres() {	# FOLDER-OF-SERVER FOLDER-OF-CLIENT
	local paths=${postgres_libraries:+$postgres_libraries:}$scratch/libraries
	copy_libraries
	postgres_client=$2
	mkdir -p "$scratch/usr/lib/postgresql/15" "$scratch/usr/share/postgresql" "$scratch/data"
	cp -r "$1/usr/lib/postgresql/15/bin" "$scratch/usr/lib/postgresql/15/"
	mkdir "$scratch/usr/lib/postgresql/15/lib"
	cp "$1"/usr/lib/postgresql/15/lib/*.so "$scratch/usr/lib/postgresql/15/lib/"
	cp -r "$1/usr/share/postgresql/15" "$scratch/usr/share/postgresql/"
	chmod 711 "$scratch"
	chown -R 65534:65534 "$scratch/data"
	(as_nobody env "LD_LIBRARY_PATH=$paths" "$scratch/usr/lib/postgresql/15/bin/initdb" -D "$scratch/data" -U tester -A trust \
		--no-sync --no-locale -E UTF8) >"$scratch/initdb" 2>&1 || { tail -n 5 "$scratch/initdb"; return 1; }
	start as_nobody env "LD_LIBRARY_PATH=$paths" "$scratch/usr/lib/postgresql/15/bin/postgres" -D "$scratch/data" \
		-k "$scratch/data" -c listen_addresses= -c jit=off >"$scratch/postgres" 2>&1
	# shellcheck disable=SC2034 # for the scripts
	server=$started
	within 20 psql -c "select 1" >/dev/null 2>&1
}

psql() {
	limit 100 env "LD_LIBRARY_PATH=$libraries" "$postgres_client/usr/lib/postgresql/15/bin/psql" -X -q -h "$scratch/data" -U tester \
		-d postgres "$@"
}
