#!/bin/bash
# What --help says of options is what manual pages and completions say, and the other way round; and what getopt takes.
. "$(dirname "$0")/../lib.sh"

commands=$("$stent" --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
plan $((6 + 5 * $(wc -w <<<"$commands")))

# Options stand at the start of a line of --help, or behind the one before, and both lead with two spaces at least.
in_help() {	# COMMAND...
	"$stent" "$@" --help | grep -E '^  +-' | grep -oE '^  +(-[a-zA-Z], )?--[a-z-]+|, --[a-z-]+' | grep -oE -- '-[a-zA-Z]\b|--[a-z-]+' | sort -u
	# A second option of one line ("--old-version VERSION,") has its description on the next.
	"$stent" "$@" --help | grep -oE '^ +--[a-z-]+ [A-Z]+,$' | grep -oE -- '--[a-z-]+'
}

in_manual() {	# FILE
	sed -n '/^# OPTIONS/,/^# [^O]/p' "$1" | grep -E '^\*-' | grep -oE '\*-[a-zA-Z]\*|\*--[a-z-]+\*' | tr -d '*' | sort -u
}

in_bash() {	# COMMAND
	# shellcheck disable=SC2016 # for the inner shell
	bash -c '. completions/stent.bash; COMP_WORDS=(stent ${1:+"$1"} --); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _stent; printf "%s\n" "${COMPREPLY[@]}"' - "$1" |
		sort -u
}

in_fish() {	# COMMAND
	grep -F -e "-n '__fish_seen_subcommand_from $1' " completions/stent.fish | grep -oE -- ' -s [a-zA-Z]| -l [a-z-]+' | sed 's/ -s /-/; s/ -l /--/' | sort -u
}

in_zsh() {	# COMMAND
	sed -n "/^$1)/,/;;/p" completions/_stent | grep -oE -- "'\*?--[a-z-]+|\{-[a-z],--[a-z-]+\}" | grep -oE -- '(--[a-z-]+|-[a-z]\b)' | sort -u
}

long() {
	grep -e '^--'
}

same() {	# COMMAND COMMAND: both print the same lines, some at least; < marks those of the first only, > those of the second
	diff <(eval "$1" | sort -u) <(eval "$2" | sort -u) && [ -n "$(eval "$1")" ]
}

# What getopt_long() knows. The command must not do anything, so an option that does not exist follows: twice, as the first may be taken for
# an argument.
taken() {	# COMMAND OPTION
	local output
	output=$("$stent" "$1" "$2" --no-such-option --no-such-option 2>&1 </dev/null) && return 1
	! grep -E 'option.*(unrecognized|invalid)|(unrecognized|invalid) option' <<<"$output" | grep -v no-such-option
}

all_taken() {	# COMMAND
	local option
	while read -r option; do
		[ "$option" = --help ] || [ "$option" = -h ] || taken "$1" "$option" || { echo "$option"; return 1; }
	done < <(in_help "$1")
}

for name in $commands; do
	check "$name: the manual has the options of --help" same "in_help $name" "in_manual man/stent-$name.1.scd"
	check "$name: bash completes them" same "in_help $name | long" "in_bash $name"
	check "$name: fish completes them" same "in_help $name" "in_fish $name"
	check "$name: zsh completes them" same "in_help $name" "in_zsh $name"
	check "$name: they exist" all_taken "$name"
done

all_commands() {
	echo "$commands"
}

with_manual() {
	(cd man && printf '%s\n' stent-*.1.scd | sed 's/^stent-//; s/\.1\.scd$//')
}

first_word() {	# what bash makes of it
	bash -c '. completions/stent.bash; COMP_WORDS=(stent ""); COMP_CWORD=1; _stent; printf "%s\n" "${COMPREPLY[@]}"'
}

check "every command has a manual page" same all_commands with_manual
check "stent(1) names every command" same all_commands "sed -n '/^# COMMANDS/,/^# OPTIONS/s/^\*\([a-z]*\)\*\$/\1/p' man/stent.1.scd"
check "bash completes every command" same all_commands first_word
check "fish completes every command" same all_commands "sed -n 's/.*__fish_use_subcommand -f -a \([a-z]*\) .*/\1/p' completions/stent.fish"
check "zsh completes every command" same all_commands "sed -n \"/^commands=(/,/^)/s/^	'\([a-z]*\):.*/\1/p\" completions/_stent"

pages_are_made() {
	local page
	for page in man/*.scd; do
		scdoc <"$page" >/dev/null || { echo "$page"; return 1; }
	done
}
if command -v scdoc >/dev/null; then
	check "scdoc takes all pages" pages_are_made
else
	skip "scdoc takes all pages" "there is no scdoc"
fi
