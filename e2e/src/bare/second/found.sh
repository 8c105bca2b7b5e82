#!/bin/sh
# Copies the log files of the second node to where e2e reads them, under the name given. A compressed
# file that is not whole gives what can be had of it. What another one of that name left is replaced.
found=/run/share/found/$1
rm -rf $found $found.new
mkdir -p $found.new
cp -a /var/log/pods/. $found.new/
find $found.new -name '*.gz' | while read -r file; do
  gunzip -c "$file" >"${file%.gz}.unpacked" 2>/dev/null
  rm "$file"
done
find $found.new -name '*.tmp' -exec rm '{}' +
mv $found.new $found
