"""The client side: `listener` accepts, `connection` keeps order, `dispatch` decides who answers."""
