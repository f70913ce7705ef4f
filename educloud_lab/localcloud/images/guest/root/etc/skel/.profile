# ~/.profile: settings of your login shells.
[ -n "$BASH_VERSION" ] && [ -f ~/.bashrc ] && . ~/.bashrc
