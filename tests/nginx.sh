# nginx.sh: an nginx of a package, with a master and two workers. To be sourced, on top of demo/servers.sh.
# shellcheck shell=bash
# shellcheck disable=SC2154 # from servers.sh

# Starts it and sets $port and $master; a file of 3000 bytes is what "/" answers.
start_nginx() {	# FOLDER-OF-PACKAGE [LINES-OF-HTTP [LINES-OF-SERVER]]
	find_port
	mkdir -p "$scratch/html"
	head -c 3000 /dev/zero | tr '\0' x >"$scratch/html/index.html"
	cat >"$scratch/nginx.conf" <<-END
		user root;
		worker_processes 2;
		daemon off;
		pid $scratch/pid;
		events { worker_connections 256; }
		http {
			access_log off;
			keepalive_requests 1000000000;
			client_body_temp_path $scratch/body;
			proxy_temp_path $scratch/proxy;
			fastcgi_temp_path $scratch/fastcgi;
			uwsgi_temp_path $scratch/uwsgi;
			scgi_temp_path $scratch/scgi;
			${2-}
			server {
				listen 127.0.0.1:$port;
				root $scratch/html;
				${3-}
			}
		}
	END
	start quiet "$scratch/log" env "LD_LIBRARY_PATH=$libraries" "$1/usr/sbin/nginx" -e "$scratch/error.log" -p "$scratch" \
		-c "$scratch/nginx.conf"
	# shellcheck disable=SC2034 # for the scripts
	master=$started
	within 10 listens "$port" && within 5 find_workers
}

# Sets $workers.
find_workers() {
	read -ra workers <"/proc/$master/task/$master/children"
	[ "${#workers[@]}" = 2 ]
}
