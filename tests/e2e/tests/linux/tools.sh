# BusyBox's own tools, each by itself, and together. What depends on the machine (owners, inodes, blocks) is left out.
mkdir work && cd work || exit 1
export TZ=UTC
printf 'pear 3\napple 10\nfig 2\napple 10\nkiwi\n' > fruit
mkdir dir; ln -s fruit link; ln fruit second; chmod 640 fruit; chmod 755 dir
touch -d '2020-02-29 12:34:56' fruit dir
echo '== ls'
ls; ls -1a; ls -F; ls -d dir
ls -ln fruit | while read -r mode links _ _ size day month rest; do echo "$mode $links $size $day $month $rest"; done
ls -l link | while read -r mode _ _ _ size _ _ _ name; do echo "$mode $size $name"; done
echo '== cat wc sort grep'
cat fruit; cat -n fruit | tr '\t' :; cat < fruit - | wc
wc fruit; wc -l < fruit; wc -w fruit dir/../fruit; wc -c fruit
sort fruit; sort -u fruit; sort -k2n fruit; sort -r -k1,1 fruit
grep apple fruit; grep -n -v apple fruit; grep -c . fruit; grep -E 'p+(l|e)' fruit; grep -r kiwi . | sort; grep nothing fruit; echo "$?"
echo '== text'
head -n 2 fruit; tail -n 2 fruit; cut -d ' ' -f 1 fruit; tr a-z A-Z < fruit; uniq -c fruit; rev fruit; nl fruit | tr '\t' :; tac fruit
sed -n 's/^\(a.*\) \([0-9]*\)$/\2 times \1/p' fruit
awk '{ n[$1] += $2; total += $2 } END { for (k in n) print k, n[k] | "sort"; close("sort"); printf "%.3f\n", total / NR }' fruit
printf '%5d|%-5s|%05.1f|%x\n' 42 ab 3.14159 255; expr 6 \* 7; seq -s, 1 5; echo a b c | xargs -n 1 echo got
paste -d- fruit fruit | head -n 1; fold -w 3 fruit | head -n 2; od -c fruit | head -n 1; hexdump -C fruit | tail -n 1
factor 360360; basename /a/b.c .c; dirname /a/b.c; date -u -d @951827696 '+%F %T %a'
printf 'a\nb\nc\n' > one; printf 'a\nx\nc\n' > two; diff one two; cmp one two; diff -u one one && echo same
echo '== sums and archives'
seq 20000 > numbers
md5sum numbers; sha256sum numbers
gzip -k numbers && gunzip -c numbers.gz | cmp - numbers && echo "gzip is right"
bzip2 -k numbers && bzcat numbers.bz2 | md5sum; rm numbers.*
tar cf - fruit dir link | tar tf -
mkdir out; tar czf - fruit link numbers | (cd out && tar xzf -) && cmp out/numbers numbers && readlink out/link
dd if=numbers of=part bs=512 skip=2 count=3 2> /dev/null; wc -c < part; dd if=/dev/zero bs=64k count=16 2> /dev/null | wc -c
base64 part | head -n 1
truncate -s 100000 sparse; wc -c < sparse; stat -c '%s %a %F' sparse fruit link; stat -c '%a %F' dir
echo '== files'
cp fruit dir; cp -r dir copy; ls copy; mv copy moved; test -f moved/fruit && echo moved; find . -name 'fru*' | sort
find dir moved -type f -exec cat '{}' + | wc -l; find . -name moved -prune -o -type d -print | sort
rm -r moved; rmdir dir 2> /dev/null || echo "not empty"; rm -f none; touch new && test -e new && echo new; test fruit -nt new || echo older
ln -s none dangling; cat dangling 2> /dev/null || echo dangling; readlink dangling; realpath dir/.. | sed 's,.*/,,'
mktemp -d tmp.XXXXXX > /dev/null && echo temporary
echo '== processes'
(sleep 0.01; echo slept) & wait; usleep 1000; timeout 5 sh -c 'exit 3'; echo "$?"; timeout 0.1 sleep 100; echo "$?"
env -i A=1 sh -c 'echo $A${HOME-none}'; yes | head -n 2; pidof nobody; echo "$?"
sh -c 'echo $0 $1' zero one; which sh | sed 's,.*/,,'; tty > /dev/null; id -u | grep -c .; uname -s
ash -c 'set -o pipefail; false | true; echo $?'; setsid true; echo "$?"; kill -l 15; echo a b c | tee copy | wc -w; cat copy
cd ..; rm -rf work; test -e work || echo "all is gone"
