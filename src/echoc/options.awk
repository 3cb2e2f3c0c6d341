# SPDX-License-Identifier: MIT
# Makes from options.def what is not C:
#
#   awk -f options.awk -v as=bash|zsh|fish options.def
#   awk -f options.awk -v as=man options.def echoc.1.in
#
# In the manual page a line "@synopsis COMMAND@" becomes the options of a command, "@option NAME@" or
# "@option COMMAND NAME@" the head of an entry, and "@range ...@" its default and its range.

# The fields of a row, which may be quoted.
function split_row(text,    n) {
	sub(/^[A-Z]+\(/, "", text)
	sub(/\)$/, "", text)
	for (n = 0; text != ""; text = substr(text, RLENGTH + 1)) {
		match(text, /^ *("[^"]*"|'[^']*'|[^,]*),?/)
		field[++n] = substr(text, 1, RLENGTH)
		gsub(/^ *["']?|["']?,?$/, "", field[n])
	}
}

FILENAME ~ /\.def$/ && /^COMMAND\(/ {
	split_row($0)
	commands[++n_commands] = field[2]
	operands[field[2]] = field[3]
	text_of[field[2]] = field[4]
	next
}

FILENAME ~ /\.def$/ && /^OPTION\(/ {
	split_row($0)
	gsub(/[ |]+/, " ", field[3])
	n++
	letter[n] = field[1] == "0" ? "" : field[1]
	name[n] = field[2]
	takers[n] = " " tolower(field[3]) " "
	kind[n] = field[4]
	least[n] = field[6]
	most[n] = field[7]
	preset[n] = field[8]
	argument[n] = field[9]
	text[n] = field[10]
	if (!(field[2] in row))
		row[field[2]] = n
	for (i = 1; i <= n_commands; i++)
		if (takes(commands[i], n))
			row[commands[i] " " field[2]] = n
	next
}

function takes(command, o) {
	return index(takers[o], " " command " ")
}

function short_text(o) {
	return text[o] != "" ? text[o] : text[o + 1]
}

# --- the manual page

# An argument as mdoc has it: MIN[-MAX] is two.
function words(text) {
	text = tolower(text)
	if (text == "min[-max]")
		return " Ar min Ns Op - Ns Ar max"
	if (text == "addr[,addr]...")
		return " Ar address Ns Op , Ns Ar address ..."
	if (text == "pp=t")
		return " Cm p Ns Ar percentile Ns = Ns Ar time"
	return text == "" ? "" : " Ar " (text == "t" ? "time" : text == "r" ? "rate" : text)
}

function seconds(ns) {
	return sprintf("%.10g", ns / 1e9)
}

function synopsis(command,    o) {
	if (!reads_files(command))
		print ".Op Fl 4 | 6"
	for (o = 1; o <= n; o++)
		if (takes(command, o) && kind[o] !~ /FAMILY|SHOW_/)
			print ".Op Fl " (letter[o] != "" ? letter[o] : "-" name[o]) words(argument[o])
}

function head(o) {
	return ".It" (letter[o] != "" ? " Fl " letter[o] words(argument[o]) " ," : "") \
		" Fl -" name[o] words(argument[o])
}

function range(o) {
	print ".Pp"
	if (preset[o] != "")
		print "Default:\n.Ql " preset[o] " ."
	if (kind[o] == "TIME")
		print "Range: " seconds(least[o]) " to 1000000 seconds."
	else if (most[o] != "0")
		print "Range: " least[o] " to " (most[o] == "INT64_MAX" ? "9223372036854775807" : \
			most[o] == "UINT64_MAX" ? "18446744073709551615" : most[o]) "."
}

as == "man" && FILENAME !~ /\.def$/ && /^@(synopsis|option|range) .*@$/ {
	what = $0
	sub(/^@[a-z]+ /, "", what)
	sub(/@$/, "", what)
	if ($1 == "@synopsis")
		synopsis(what)
	else if (!(what in row)) {
		print FILENAME ": no option is told of as " what > "/dev/stderr"
		failed = 1
		exit 1
	} else if ($1 == "@option")
		print head(row[what])
	else
		range(row[what])
	next
}

as == "man" && FILENAME !~ /\.def$/ {
	print
}

# --- completions

# The options of a command that take an argument, or a file, or all, as one types them.
function forms(command, which,    o, found) {
	for (o = 1; o <= n; o++)
		if (takes(command, o) && (which == "" || (which == "file" ? argument[o] == "FILE" : argument[o] != "")))
			found = found (letter[o] != "" ? " -" letter[o] : "") " --" name[o]
	return substr(found, 2)
}

function all_commands(    i, found) {
	for (i = 1; i <= n_commands; i++)
		found = found " " commands[i]
	return substr(found, 2)
}

function reads_files(command) {
	return operands[command] ~ /^FILE/
}

function bash(    i, c, separated) {
	print "# bash completion for echoc"
	print "_echoc()\n{"
	print "\tlocal cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]}"
	print "\tlocal options= valued= files= operands=hosts"
	print "\tcase ${COMP_WORDS[1]} in"
	for (i = n_commands; i >= 1; i--) {
		c = commands[i]
		print "\t" (c == "talk" ? "*" : c) ")\n\t\toptions=\"" forms(c) "\""
		print "\t\tvalued=\" " forms(c, "valued") " \" files=\" " forms(c, "file") " \""
		print (reads_files(c) ? "\t\toperands=files\n" : "") "\t\t;;"
	}
	print "\tesac"
	print "\tCOMPREPLY=()"
	print "\t[[ $prev != = ]] || prev=${COMP_WORDS[COMP_CWORD-2]}"
	print "\t[[ $cur != = ]] || cur="
	print "\tif [[ $files == *\" $prev \"* || ( $operands == files && $cur != -* ) ]]; then"
	print "\t\tcompopt -o filenames 2>/dev/null"
	print "\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$cur\")"
	print "\telif [[ $valued == *\" $prev \"* ]]; then\n\t\treturn"
	print "\telif [[ $cur == -* ]]; then\n\t\tmapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$cur\")"
	print "\telse\n\t\tmapfile -t COMPREPLY < <(compgen -A hostname -- \"$cur\")"
	print "\t\t((COMP_CWORD > 1)) || mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -W \"" all_commands() "\" -- \"$cur\")"
	print "\tfi\n}\ncomplete -F _echoc echoc"
}

function zsh_option(o,    both, rest) {
	rest = "[" short_text(o) "]" (argument[o] == "" ? "" : ":" argument[o] ":" (argument[o] == "FILE" ? "_files" : " "))
	gsub(/\[,?-?[A-Z]+\](\.\.\.)?:/, ":", rest)
	if (letter[o] == "")
		return "'--" name[o] rest "'"
	both = "-" letter[o] " --" name[o]
	return "'(" both ")'{-" letter[o] ",--" name[o] "}'" rest "'"
}

function zsh(    i, c, o) {
	print "#compdef echoc"
	print "local command=$words[2]"
	print "if (( CURRENT == 2 )) && [[ $PREFIX != -* ]]; then"
	print "\tlocal -a commands=("
	for (i = 1; i <= n_commands; i++)
		print "\t\t'" commands[i] ":" text_of[commands[i]] "'"
	print "\t)\n\t_describe command commands\n\t_hosts\n\treturn\nfi"
	print "case $command in"
	for (i = n_commands; i >= 1; i--) {
		c = commands[i]
		print (c == "talk" ? "*" : c) ")"
		print "\t[[ $command != " c " ]] || { shift words; (( CURRENT-- )) }"
		print "\t_arguments -s -S \\"
		for (o = 1; o <= n; o++)
			if (takes(c, o))
				print "\t\t" zsh_option(o) " \\"
		print "\t\t" (reads_files(c) ? "'*:file:_files'" : "'1:host:_hosts'")
		print "\t;;"
	}
	print "esac"
}

function fish(    i, c, o, condition) {
	print "# fish completion for echoc"
	print "complete -c echoc -f"
	for (i = 1; i <= n_commands; i++) {
		c = commands[i]
		print "complete -c echoc -n __fish_is_first_token -a " c " -d '" text_of[c] "'"
		condition = "'__fish_seen_subcommand_from " c "'"
		if (c == "talk")
			condition = "'not __fish_seen_subcommand_from " substr(all_commands(), 6) "'"
		print "complete -c echoc -n " condition (reads_files(c) ? " -F" : " -a '(__fish_print_hostnames)'")
		for (o = 1; o <= n; o++)
			if (takes(c, o))
				print "complete -c echoc -n " condition (letter[o] != "" ? " -s " letter[o] : "") \
					" -l " name[o] (argument[o] == "" ? "" : argument[o] == "FILE" ? " -r -F" : " -x") \
					" -d '" short_text(o) "'"
	}
}

END {
	if (failed)
		exit 1
	if (as == "bash")
		bash()
	else if (as == "zsh")
		zsh()
	else if (as == "fish")
		fish()
}
