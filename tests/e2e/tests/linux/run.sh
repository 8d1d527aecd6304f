# Output into a file, as on the host: at a terminal some tools show it differently.
sh /etc/script > /tmp/output 2>&1
code=$?
cat /tmp/output
exit $code
