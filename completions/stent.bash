# bash completion of stent(1). tests/static/documented.sh compares the options with those of --help.

_stent_options() {
	case $1 in
	diff) echo "--output --name --description --old-version --new-version --lines --allow-data --new-data --exclude --allow-layout --help" ;;
	show) echo "--asm --old --pid --json --help" ;;
	check) echo "--json --help" ;;
	sign) echo "--secret-key --output --trusted-comment --help" ;;
	apply) echo "--pid --tree --all --timeout --scope --replace --no-wait --force --search --reclaim --require-signature --keys --signature --verbose --help" ;;
	status) echo "--pid --tree --json --help" ;;
	revert) echo "--pid --tree --all --timeout --scope --no-wait --force --search --reclaim --verbose --help" ;;
	upgrade) echo "--dry-run --json --timeout --only --exclude --replace --help" ;;
	stack) echo "--json --help" ;;
	"") echo "--help --version" ;;
	esac
}

# Processes that can be looked at. Kernel threads have no executable.
_stent_pids() {
	local folder
	for folder in /proc/[0-9]*; do
		[ ! -e "$folder/exe" ] || echo "${folder#/proc/}"
	done
}

_stent() {
	local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} command=
	local commands="diff show check sign apply status revert upgrade stack"

	[ "$COMP_CWORD" -le 1 ] || command=${COMP_WORDS[1]}
	COMPREPLY=()
	if [ -z "$command" ] && [[ $word != -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_stent_options "$command")" -- "$word")
	elif [[ $previous == --pid || $command/$previous == */-p || $command/$previous == stack/stack ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(_stent_pids)" -- "$word")
	elif [[ $previous == --scope ]]; then
		mapfile -t COMPREPLY < <(compgen -W "thread process" -- "$word")
	else
		mapfile -t COMPREPLY < <(compgen -f -- "$word")
	fi
}

complete -o filenames -F _stent stent
