# ~/.bashrc: settings of your interactive shells; /etc/bash.bashrc was read before.
