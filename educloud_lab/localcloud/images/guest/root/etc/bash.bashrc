# Settings of every interactive bash.
[ -z "$PS1" ] && return
shopt -s checkwinsize histappend
PS1='\u@lab:\w\$ '
case "$TERM" in xterm* | screen* | tmux*) PS1="\[\e]0;\u@lab: \w\a\]$PS1" ;; esac
HISTCONTROL=ignoreboth
alias ls='ls --color=auto'
alias ll='ls -l'
alias grep='grep --color=auto'
