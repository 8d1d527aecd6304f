# A script of a decent size, within what POSIX promises of a shell and its tools. It prints the same in any directory that
# is empty and in any shell, and ends with code 7.
mkdir work && cd work || exit 1
trap 'echo "trap: code $?"' EXIT

echo '== quoting'
name="two words"
star='*'
printf '<%s>' "$name" $name "$star" '$name' "a\"b" a\ b "" ''; echo
echo "${name}s ${#name} ${name%% *} ${name##* } ${nothing:-default} [${nothing-}] ${name:+set}"
echo "nested: $(echo "inner $(echo "most 'inner'")")" `echo back \`echo quotes\``

echo '== here-documents'
cat <<END
$name, $((6 * 7)), $(echo command), \$literal
END
cat <<'END'
$name, $((6 * 7)), \$literal
END
cat <<-END
	tabs are
		taken away
	END
while read -r key value; do echo "$value=$key"; done <<END
one   first of all
two\n second
END

echo '== redirection'
echo first > file
echo second >> file
{ echo third; echo fourth; } >> file
cat < file | wc -l
ls nothing-here 2> /dev/null || echo "no such file"
(echo out; echo err >&2) 2>&1 | sort
exec 3> third; echo to three >&3; exec 3>&-; cat third
exec 4< file; read -r line <&4; read -r next <&4; exec 4<&-; echo "$line, $next"
: > empty; test -s empty || echo "empty is empty"

echo '== loops and arithmetic'
i=0; sum=0
while [ $i -lt 100 ]; do i=$((i + 1)); [ $((i % 3)) -eq 0 ] && continue; [ $i -gt 50 ] && break; sum=$((sum + i)); done
echo "$i $sum $((sum / 7)) $((sum % 7)) $((-sum >> 2)) $((0x1f ^ 010)) $((i > 50 && sum != 0 ? i : sum))"
until [ $i -le 48 ]; do i=$((i - 1)); printf '%d ' $i; done; echo
for outer in a b c; do for inner in 1 2 3; do [ $inner = 2 ] && continue 2; printf '%s%s ' $outer $inner; done; done; echo

echo '== functions'
fibonacci() {
    if [ "$1" -lt 2 ]; then echo "$1"; else echo $(($(fibonacci $(($1 - 1))) + $(fibonacci $(($1 - 2))))); fi
}
echo "fibonacci 9 is $(fibonacci 9)"
fails() { return 3; }
fails; echo "returned $?"
count() { echo "$# arguments, the last is ${4-none}"; }
count a "b c" '' "$name"
count "$@"
set -- x "y z" w; count "$@"; shift 2; echo "left: $*"
primes() {
    n=2
    while [ $n -le "$1" ]; do
        d=2
        while [ $((d * d)) -le $n ] && [ $((n % d)) -ne 0 ]; do d=$((d + 1)); done
        [ $((d * d)) -gt $n ] && printf '%s ' $n
        n=$((n + 1))
    done
    echo
}
primes 60

echo '== case and globs'
mkdir -p tree/left/deep tree/right
for file in a.c b.c a.h b.txt .hidden 'with space.c'; do echo "$file" > "tree/$file"; done
for file in tree/* tree/.h* tree/*.none; do
    case $file in
        *.[ch]) echo "source: $file" ;;
        */left | */right) echo "directory: $file" ;;
        *.none) echo "no match: $file" ;;
        */.?*) echo "hidden: $file" ;;
        *) echo "other: $file" ;;
    esac
done
echo tree/[ab].? tree/[!a]*
set -f; echo tree/*; set +f

echo '== tools'
ls tree; ls -a tree/left; ls -d tree
cat tree/a.c tree/b.c > tree/both; wc -l < tree/both
mv tree/both tree/left/deep/both; ls tree/left/deep
mv tree/left/deep tree/right; ls tree/right; cat tree/right/deep/both
rm tree/.hidden 'tree/with space.c'; rm -r tree/right; rm -f not-there; rmdir tree/left; ls -A tree
printf '%s\n' pear apple fig apple 10 9 > fruit
sort fruit; sort -r fruit | head -n 2; sort -u fruit | tail -n 1; printf '10\n9\n100\n' | sort -n
grep ap fruit; grep -c ap fruit; grep -v '[a-z]' fruit; grep -n '^f' fruit; grep -q kiwi fruit || echo "no kiwi"
grep -i APPLE fruit | sort -u; grep -E '^(fig|pear)$' fruit
seq 200 | grep 7 | sort -rn | head -n 3
wc -c < fruit
test -d tree -a -f fruit && test ! -e nowhere && [ "$name" = "two words" ] && echo "tests are true"
[ 10 -gt 9 ] && [ -z "" ] && [ -n x ] && [ a != b ] && echo "more of them"
echo tee | tee copy | cat - copy

echo '== exit codes and subshells'
true && echo "and" || echo "or"
false || echo "or"
! false && echo "not"
(exit 5); echo "subshell $?"
x=outer; (x=inner; cd tree; echo "$x"; ls a.c); echo "$x"
if (grep -q fig fruit && exit 4); then echo no; else echo "else $?"; fi
false | true; echo "pipe $?"
x=$(echo text; exit 6); echo "$x $?"
sh -c 'exit 9'; echo "sh $?"
sh -c 'kill -TERM $$'; echo "signal $?"
./not-a-program 2> /dev/null; echo "not found $?"
./fruit 2> /dev/null; echo "not executable $?"
(trap 'echo "inner trap"' EXIT; echo "before"; exit 2); echo "after $?"
trap 'echo "got it"' USR1; kill -USR1 $$; trap - USR1
eval 'for word in e v a l; do printf %s $word; done'; echo
cat > script <<'END'
#!/bin/sh
echo "script: $0 $#: $1"
exit 11
END
sh script argument; echo "code $?"
echo 'name=sourced; return 4; echo never' > library; . ./library; echo "$name $?"

echo '== in the background'
(sleep 0.05; echo "late" > background; exit 8) & pid=$!
wait $pid; echo "background $?"; cat background
for n in 1 2 3 4 5; do (exit $n) & last=$!; done; wait; echo "all have ended"
sleep 100 & pid=$!; kill $pid; wait $pid 2> /dev/null; echo "killed $?"
echo piped | (read -r word; echo "read $word") & wait

echo '== pipelines'
yes | head -n 1000 | wc -l
seq 3000 > numbers; cat numbers | cat | cat | sort -rn | cat | tail -n 1
for n in 1 2 3; do echo $n; done | while read -r n; do echo "$((n * n))"; done | sort -n | { read -r a; read -r b; echo "$a $b"; }
IFS=:; path=a:b::c; set -- $path; echo "$# $1 $2 [$3] $4"; unset IFS
line='x=1'; export line; sh -c 'echo "child sees $line"'
cd ..; rm -r work; ls work 2> /dev/null || echo "all is gone"
exit 7
