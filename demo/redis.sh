# redis.sh: two versions of redis-server as Debian built them, and what the security update changed.
# To be sourced behind servers.sh, by the demo and by tests/real/redis.sh.
# shellcheck shell=bash disable=SC2034,SC2154	# variables come from and go to other files
redis_old_version=5:7.0.15-1~deb12u7
redis_new_version=5:7.0.15-1~deb12u10

# In Debian, /usr/bin/redis-server is a link to redis-check-rdb of redis-tools: one program that goes by
# the name it is called by.
fetch_redis() {
	fetch_packages "redis-tools=$redis_old_version" "redis-tools=$redis_new_version" || return 1
	redis_old=${folders[0]}/usr/bin/redis-check-rdb
	redis_new=${folders[1]}/usr/bin/redis-check-rdb
	redis_tools=${folders[0]}/usr/bin
	# Zipmaps are an encoding of hashes that Redis no longer writes, and still reads (RDB type 9). This one
	# holds foo -> 98 times x, and gives the length of foo as fe 03 00 00 00, where 03 would do. The old
	# server accepts that, and goes on one byte further than it should: it ends up with another hash
	# (the 98 makes that one end where this one does, or it would read past the end). The last ten bytes
	# are the RDB version, 6, and the CRC-64 of all before it.
	{
		printf '\x09\x40\x6e\x01\xfe\x03\x00\x00\x00foo\x62\x00'
		printf 'x%.0s' {1..98}
		printf '\xff\x06\x00\xe1\x0e\x37\x2a\x46\x55\x7a\x17'
	} >"$scratch/zipmap"
}

# Starts the old server on a free port: $redis is its pid.
start_redis() {
	find_port && mkdir -p "$scratch/data" || return 1
	# shellcheck disable=SC2016 # $0 and $@ are those of the inner shell
	start quiet "$scratch/log" env "LD_LIBRARY_PATH=$libraries" \
		bash -c 'exec -a redis-server "$0" "$@"' "$redis_old" --bind 127.0.0.1 --port "$port" --save '' \
		--appendonly no --dir "$scratch/data"
	redis=$started
	within 10 listens "$port"
}

redis_cli() {
	LD_LIBRARY_PATH=$libraries limit 20 "$redis_tools/redis-cli" -p "$port" "$@"
}

# Prints what the server says to the zipmap.
restore_zipmap() {
	redis_cli del zipmap >/dev/null && redis_cli -x restore zipmap 0 <"$scratch/zipmap" | grep .
}
